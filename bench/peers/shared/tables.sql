-- The peers' ledger. It carries what ours carries, less the hash chain, the triggers, the positions
-- in the topic and the repetitions: all of that is to the peers' favour. They have four indexes for
-- it, which is as many as ours has on the same three tables.

CREATE TABLE organization (
    inn        text PRIMARY KEY,
    balance    numeric(38, 2) NOT NULL
) WITH (fillfactor = 70);

CREATE TABLE payment (
    operation_id    uuid PRIMARY KEY,
    inn             text NOT NULL,
    amount          numeric(15, 2) NOT NULL CHECK (amount > 0),
    document_number text NOT NULL,
    document_date   timestamptz NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE balance_log (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    inn              text NOT NULL,
    operation_id     uuid NOT NULL,
    amount           numeric(15, 2) NOT NULL,
    previous_balance numeric(38, 2) NOT NULL,
    new_balance      numeric(38, 2) NOT NULL,
    created_at       timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON balance_log (inn, id);
