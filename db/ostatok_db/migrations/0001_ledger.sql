-- The ledger: a function of the journal. No statement names the schema: the connection's
-- search_path does, so that a rebuild can make the same tables elsewhere and swap them in.

CREATE TABLE organization (
    inn        text        NOT NULL,
    balance    numeric(38, 2) NOT NULL,
    entries    bigint      NOT NULL,
    head       bytea       NOT NULL,
    changed_at timestamptz NOT NULL,
    CONSTRAINT organization_pkey PRIMARY KEY (inn),
    CONSTRAINT organization_inn_length CHECK (length(inn) IN (10, 12)),
    CONSTRAINT organization_balance_positive CHECK (balance > 0),
    CONSTRAINT organization_entries_positive CHECK (entries > 0)
) WITH (fillfactor = 70);
COMMENT ON TABLE organization IS 'What each INN has paid in all; balance, entries, head and changed_at repeat its last log entry';
COMMENT ON COLUMN organization.balance IS 'rubles';
COMMENT ON COLUMN organization.head IS 'the link of the last log entry';

CREATE TABLE payment (
    operation_id    uuid           NOT NULL,
    inn             text           NOT NULL,
    amount          numeric(15, 2) NOT NULL,
    document_number text           NOT NULL,
    document_date   timestamptz    NOT NULL,
    source          text,
    request_id      text,
    topic           text           NOT NULL,
    partition       integer        NOT NULL,
    "offset"        bigint         NOT NULL,
    received_at     timestamptz    NOT NULL,
    CONSTRAINT payment_pkey PRIMARY KEY (operation_id),
    CONSTRAINT payment_position_key UNIQUE (topic, partition, "offset"),
    CONSTRAINT payment_amount_positive CHECK (amount > 0),
    CONSTRAINT payment_document_number_length CHECK (length(document_number) BETWEEN 1 AND 50)
);
COMMENT ON TABLE payment IS 'Outcome applied: the record of each operation that moved money';
COMMENT ON COLUMN payment.amount IS 'rubles';
COMMENT ON COLUMN payment.document_date IS 'the bank''s clock';
COMMENT ON COLUMN payment.received_at IS 'the receiver''s clock, or the broker client''s when no receiver wrote the record';

CREATE TABLE balance_log (
    inn              text           NOT NULL,
    entry            bigint         NOT NULL,
    operation_id     uuid           NOT NULL,
    amount           numeric(15, 2) NOT NULL,
    previous_balance numeric(38, 2) NOT NULL,
    new_balance      numeric(38, 2) NOT NULL,
    created_at       timestamptz    NOT NULL,
    link             bytea          NOT NULL,
    CONSTRAINT balance_log_pkey PRIMARY KEY (inn, entry),
    CONSTRAINT balance_log_adds_up CHECK (new_balance = previous_balance + amount)
);
COMMENT ON TABLE balance_log IS 'Each change of a balance, numbered from 1 without a hole for each INN';
COMMENT ON COLUMN balance_log.created_at IS 'the later of received_at and the entry before, so that an INN''s log is ordered in time';
COMMENT ON COLUMN balance_log.link IS 'SHA-256 over the link before it and this entry: see chain';

CREATE TABLE duplicate (
    topic        text        NOT NULL,
    partition    integer     NOT NULL,
    "offset"     bigint      NOT NULL,
    operation_id uuid        NOT NULL,
    inn          text        NOT NULL,
    outcome      text        NOT NULL,
    differences  jsonb,
    source       text,
    request_id   text,
    received_at  timestamptz NOT NULL,
    CONSTRAINT duplicate_pkey PRIMARY KEY (topic, partition, "offset"),
    CONSTRAINT duplicate_outcome CHECK (outcome IN ('duplicate', 'conflict')),
    CONSTRAINT duplicate_conflict_differs CHECK ((outcome = 'conflict') = (differences IS NOT NULL))
);
COMMENT ON TABLE duplicate IS 'Outcomes duplicate and conflict: records of an operation that another record had won';
COMMENT ON COLUMN duplicate.differences IS 'of a conflict: field -> what the ledger recorded and what this record says';

CREATE TABLE dead_letter (
    topic         text        NOT NULL,
    partition     integer     NOT NULL,
    "offset"      bigint      NOT NULL,
    reason        text        NOT NULL,
    key           bytea,
    value         bytea,
    header_names  bytea[]     NOT NULL,
    header_values bytea[]     NOT NULL,
    timestamp_ms  bigint      NOT NULL,
    received_at   timestamptz NOT NULL,
    CONSTRAINT dead_letter_pkey PRIMARY KEY (topic, partition, "offset")
);
COMMENT ON TABLE dead_letter IS 'Outcome dead: records that can be no payment, as they came';

CREATE TABLE applied_offset (
    topic       text    NOT NULL,
    partition   integer NOT NULL,
    next_offset bigint  NOT NULL,
    topic_id    text    NOT NULL,
    CONSTRAINT applied_offset_pkey PRIMARY KEY (topic, partition),
    CONSTRAINT applied_offset_not_negative CHECK (next_offset >= 0)
) WITH (fillfactor = 50);
COMMENT ON TABLE applied_offset IS 'How far each partition is applied; locked by whoever applies, so it is the fence too';

-- What each log entry commits to. A line feed joins the fields: none of them can contain one.
CREATE FUNCTION chain_link(state bytea, before bytea, content text) RETURNS bytea
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN sha256(coalesce(state, before) || convert_to(content, 'UTF8'));

CREATE AGGREGATE chain(before bytea, content text) (sfunc = chain_link, stype = bytea);
COMMENT ON AGGREGATE chain(bytea, text) IS 'As a window function over the entries of an INN in order: the link of each';

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE TRIGGER payment_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON payment
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER balance_log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON balance_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER duplicate_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON duplicate
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
