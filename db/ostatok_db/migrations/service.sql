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
