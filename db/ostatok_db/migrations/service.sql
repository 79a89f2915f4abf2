-- What operators decided: not the journal's to say, so in a schema of its own that no rebuild and
-- no restore of a ledger touches. The ledgers of a database share it: a decision is about a record
-- of a topic, whoever reads it. `ostatok migrate` runs this each time.

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
