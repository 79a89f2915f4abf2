-- What operators decided and did: not the journal's to say, so in a schema of its own that no
-- rebuild and no restore of a ledger touches. The ledgers of a database share it: a decision is
-- about a record of a topic, whoever reads it. `ostatok migrate` runs this each time.

CREATE SCHEMA IF NOT EXISTS ostatok_service;

CREATE TABLE IF NOT EXISTS ostatok_service.dead_letter_decision (
    id            bigint      GENERATED ALWAYS AS IDENTITY,
    topic         text        NOT NULL,
    partition     integer     NOT NULL,
    "offset"      bigint      NOT NULL,
    decision      text        NOT NULL,
    reason        text,
    new_partition integer,
    new_offset    bigint,
    decided_by    text        NOT NULL,
    decided_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT dead_letter_decision_pkey PRIMARY KEY (id),
    CONSTRAINT dead_letter_decision_kind CHECK (decision IN ('redriven', 'discarded')),
    CONSTRAINT dead_letter_decision_says_where CHECK (
        (decision = 'redriven') = (new_partition IS NOT NULL AND new_offset IS NOT NULL)),
    CONSTRAINT dead_letter_decision_says_why CHECK (decision = 'redriven' OR reason <> '')
);

CREATE INDEX IF NOT EXISTS dead_letter_decision_position
    ON ostatok_service.dead_letter_decision (topic, partition, "offset");

-- One row for each time that a command of recovery ran. Which commands there are is not checked: a
-- version that has one more runs on the table of before, and this file never alters a constraint.
CREATE TABLE IF NOT EXISTS ostatok_service.operator_run (
    id          integer     GENERATED ALWAYS AS IDENTITY,
    topic       text        NOT NULL,
    schema      text        NOT NULL,
    command     text        NOT NULL,
    arguments   jsonb       NOT NULL,
    run_by      text        NOT NULL,
    host        text        NOT NULL,
    started_at  timestamptz NOT NULL DEFAULT now(),
    ended_at    timestamptz,
    exit_status integer,
    result      jsonb,
    CONSTRAINT operator_run_pkey PRIMARY KEY (id),
    CONSTRAINT operator_run_names_command CHECK (command <> ''),
    CONSTRAINT operator_run_ends_whole CHECK (
        (ended_at IS NULL) = (exit_status IS NULL) AND (ended_at IS NULL) = (result IS NULL))
);

CREATE INDEX IF NOT EXISTS operator_run_of_command
    ON ostatok_service.operator_run (topic, schema, command, id);

-- What was asked and not allowed, and what was done, by whom and from where. A row is for ever: its
-- owner alone can prune it (docs/operations.md).
CREATE TABLE IF NOT EXISTS ostatok_service.trail (
    id         bigint      GENERATED ALWAYS AS IDENTITY,
    kind       text        NOT NULL,
    action     text        NOT NULL,
    who        text        NOT NULL,
    client     text        NOT NULL,
    about      text        NOT NULL,
    reason     text        NOT NULL,
    request_id text        NOT NULL,
    times      bigint      NOT NULL,
    first_at   timestamptz NOT NULL,
    last_at    timestamptz NOT NULL,
    CONSTRAINT trail_pkey PRIMARY KEY (id),
    CONSTRAINT trail_kind CHECK (kind IN ('denied', 'done', 'failed')),
    CONSTRAINT trail_names_action CHECK (action <> ''),
    CONSTRAINT trail_counts CHECK (times > 0 AND last_at >= first_at)
);

CREATE INDEX IF NOT EXISTS trail_last_at ON ostatok_service.trail (last_at);

CREATE OR REPLACE FUNCTION ostatok_service.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'insufficient_privilege';
END
$$;

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgname = 'trail_append_only'
                   AND tgrelid = 'ostatok_service.trail'::regclass) THEN
        CREATE TRIGGER trail_append_only BEFORE UPDATE OR DELETE OR TRUNCATE
            ON ostatok_service.trail
            FOR EACH STATEMENT EXECUTE FUNCTION ostatok_service.refuse_change();
    END IF;
END
$$;

-- Tokens of the API's readers and operators. Never the token: its SHA-256, and the public part that
-- it is found by. What a token allows never changes, so that its id says all of it: to change that,
-- make another. http needs no more than SELECT, and UPDATE of last_used_at.
CREATE TABLE IF NOT EXISTS ostatok_service.token (
    id           text        NOT NULL,
    name         text        NOT NULL,
    hash         bytea       NOT NULL,
    scopes       text[]      NOT NULL,
    inns         text[],
    created_at   timestamptz NOT NULL DEFAULT now(),
    created_by   text        NOT NULL,
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_at timestamptz,
    CONSTRAINT token_pkey PRIMARY KEY (id),
    CONSTRAINT token_is_named CHECK (name <> ''),
    CONSTRAINT token_hash_is_sha256 CHECK (length(hash) = 32),
    CONSTRAINT token_allows_something CHECK (cardinality(scopes) > 0),
    CONSTRAINT token_inns_are_some CHECK (cardinality(inns) > 0)
);

-- A name says in the trail who did something: of those that work, one has it.
CREATE UNIQUE INDEX IF NOT EXISTS token_live_name
    ON ostatok_service.token (name) WHERE revoked_at IS NULL;
-- Runs are a log: no role but the owner may change or delete a row of it. What a command must change
-- of its own, these do for it. Whoever may call them can end a run that is under way, and no other;
-- and can drop none of the last 1,000 of each command on a ledger. Of each, not of all: backups each
-- hour must not push out the last rebuild. Their bodies are looked up when they run, so that a
-- table can be dropped and made anew under them.
CREATE OR REPLACE FUNCTION ostatok_service.end_run(run integer, status integer, came_of_it jsonb)
    RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    UPDATE ostatok_service.operator_run
    SET ended_at = now(), exit_status = status, result = came_of_it
    WHERE id = run AND ended_at IS NULL
$$;

CREATE OR REPLACE FUNCTION ostatok_service.drop_old_runs(
        of_topic text, of_schema text, of_command text)
    RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    DELETE FROM ostatok_service.operator_run
    WHERE topic = of_topic AND schema = of_schema AND command = of_command AND id <= (
        SELECT id FROM ostatok_service.operator_run
        WHERE topic = of_topic AND schema = of_schema AND command = of_command
        ORDER BY id DESC OFFSET 1000 LIMIT 1)
$$;

REVOKE ALL ON FUNCTION ostatok_service.end_run, ostatok_service.drop_old_runs FROM PUBLIC;

-- Who may log in to the console. Never a password: its argon2id hash. The name says beside decisions
-- and in the trail who somebody was, so a user is disabled, and neither deleted nor named anew.
-- Which roles there are is not checked here, as for commands above. http needs SELECT, and UPDATE of
-- password_hash: it hashes anew what was hashed with parameters of before.
CREATE TABLE IF NOT EXISTS ostatok_service.console_user (
    id            integer     GENERATED ALWAYS AS IDENTITY,
    name          text        NOT NULL,
    role          text        NOT NULL,
    password_hash text        NOT NULL,
    password_at   timestamptz NOT NULL DEFAULT now(),
    created_at    timestamptz NOT NULL DEFAULT now(),
    created_by    text        NOT NULL,
    disabled_at   timestamptz,
    CONSTRAINT console_user_pkey PRIMARY KEY (id),
    CONSTRAINT console_user_has_own_name UNIQUE (name),
    CONSTRAINT console_user_is_named CHECK (name <> ''),
    CONSTRAINT console_user_has_role CHECK (role <> ''),
    CONSTRAINT console_user_password_is_hashed CHECK (starts_with(password_hash, '$argon2id$'))
);

-- Who is logged in, in which browser. Never what its cookie says: the SHA-256 of that. http needs
-- SELECT, INSERT, DELETE, and UPDATE of seen_at.
CREATE TABLE IF NOT EXISTS ostatok_service.console_session (
    hash       bytea       NOT NULL,
    user_id    integer     NOT NULL,
    client     text        NOT NULL,
    browser    text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    seen_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT console_session_pkey PRIMARY KEY (hash),
    CONSTRAINT console_session_user FOREIGN KEY (user_id)
        REFERENCES ostatok_service.console_user (id),
    CONSTRAINT console_session_hash_is_sha256 CHECK (length(hash) = 32)
);

CREATE INDEX IF NOT EXISTS console_session_of_user
    ON ostatok_service.console_session (user_id, created_at);

-- Guesses at passwords, by whom or at whom, as a SHA-256: what somebody typed for a name may be a
-- password. http needs SELECT, INSERT, UPDATE and DELETE, and keeps it small.
CREATE TABLE IF NOT EXISTS ostatok_service.login_failure (
    key      bytea       NOT NULL,
    failures integer     NOT NULL,
    last_at  timestamptz NOT NULL,
    next_at  timestamptz NOT NULL,
    CONSTRAINT login_failure_pkey PRIMARY KEY (key),
    CONSTRAINT login_failure_key_is_sha256 CHECK (length(key) = 32),
    CONSTRAINT login_failure_counts CHECK (failures >= 0)
);

CREATE INDEX IF NOT EXISTS login_failure_last_at ON ostatok_service.login_failure (last_at);
