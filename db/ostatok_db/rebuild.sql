-- What a rebuild asks of the live ledger and of the second one. {live} and {second} are schemas.

-- name: lock_rebuild
-- One rebuild of a ledger at a time: they would share the second one.
SELECT pg_try_advisory_lock(hashtextextended('ostatok rebuild ' || %(schema)s, 0));

-- name: unlock_rebuild
-- It has ended.
SELECT pg_advisory_unlock(hashtextextended('ostatok rebuild ' || %(schema)s, 0));

-- name: other_journals
-- Topics besides its own that a ledger is made of.
SELECT DISTINCT topic FROM applied_offset WHERE topic <> %(topic)s ORDER BY topic;

-- name: count_payments_in
-- How many payments of the live ledger lie in ranges of partitions.
SELECT count(*)
FROM unnest(%(partitions)s::integer[], %(firsts)s::bigint[], %(afters)s::bigint[])
     AS read (partition, first, after)
JOIN {live}.payment AS paid
  ON paid.topic = %(topic)s AND paid.partition = read.partition
 AND paid."offset" >= read.first AND paid."offset" < read.after;

-- name: payments_in
-- Where they lie.
SELECT paid.partition, paid."offset"
FROM unnest(%(partitions)s::integer[], %(firsts)s::bigint[], %(afters)s::bigint[])
     AS read (partition, first, after)
JOIN {live}.payment AS paid
  ON paid.topic = %(topic)s AND paid.partition = read.partition
 AND paid."offset" >= read.first AND paid."offset" < read.after;

-- name: counted_elsewhere
-- Of operations read with an INN each, those that count with another one in the live ledger; where
-- that payment lies, and among how many partitions.
SELECT paid.operation_id::text, paid.inn, paid.partition,
       (SELECT count(*) FROM {live}.applied_offset AS a WHERE a.topic = paid.topic)
FROM unnest(%(operation_ids)s::uuid[], %(inns)s::text[]) AS read (operation_id, inn)
JOIN {live}.payment AS paid USING (operation_id) WHERE paid.inn <> read.inn;

-- name: make_held_back
-- Records of such operations: their outcome waits for the record that counts.
CREATE TABLE IF NOT EXISTS held_back (
    partition    integer NOT NULL,
    "offset"     bigint  NOT NULL,
    operation_id uuid    NOT NULL,
    CONSTRAINT held_back_pkey PRIMARY KEY (partition, "offset")
);

-- name: hold_back
-- Notes some of them.
INSERT INTO held_back (partition, "offset", operation_id)
SELECT * FROM unnest(%(partitions)s::integer[], %(offsets)s::bigint[], %(operations)s::uuid[])
ON CONFLICT (partition, "offset") DO NOTHING;

-- name: find_held_back
-- NULL when nothing is held back.
SELECT to_regclass('held_back');

-- name: read_held_back
-- Those whose operation is a payment by now, or all.
SELECT partition, "offset" FROM held_back
WHERE (partition, "offset") > (%(partition)s, %(offset)s)
  AND (%(everything)s OR EXISTS (SELECT FROM payment
                                 WHERE payment.operation_id = held_back.operation_id))
ORDER BY partition, "offset" LIMIT %(limit)s;

-- name: forget_held_back
-- Those that have their outcome.
DELETE FROM held_back AS held
WHERE EXISTS (SELECT FROM payment AS p
              WHERE (p.partition, p."offset") = (held.partition, held."offset"))
   OR EXISTS (SELECT FROM duplicate AS d
              WHERE (d.partition, d."offset") = (held.partition, held."offset"))
   OR EXISTS (SELECT FROM dead_letter AS d
              WHERE (d.partition, d."offset") = (held.partition, held."offset"));

-- name: count_held_back
-- How many are left.
SELECT count(*) FROM held_back;

-- name: drop_held_back
-- None is left.
DROP TABLE held_back;

-- name: forget_repeats_replayed
-- A repeat that was applied late changed no log; a payment did, and stays marked.
DELETE FROM replayed WHERE NOT EXISTS (
    SELECT FROM payment WHERE (payment.topic, payment.partition, payment."offset")
                            = (replayed.topic, replayed.partition, replayed."offset"));

-- name: empty_bodies
-- An owner may empty a dead letter's body for good (docs/data.md): so it stays.
UPDATE {second}.dead_letter AS made
SET key = NULL, value = NULL, header_names = '{{}}', header_values = '{{}}'
FROM {live}.dead_letter AS emptied
WHERE (emptied.topic, emptied.partition, emptied."offset")
    = (made.topic, made.partition, made."offset")
  AND (emptied.reason, emptied.timestamp_ms) = (made.reason, made.timestamp_ms)
  AND emptied.key IS NULL AND emptied.value IS NULL
  AND emptied.header_names = '{{}}';

-- name: limit_transaction
-- For the transaction under way.
SELECT set_config(%(name)s, %(limit)s, true);

-- name: lock_migrations
-- Until the transaction's end.
SELECT pg_advisory_xact_lock(%(key)s);

-- name: read_revisions
-- Of both schemas.
SELECT (SELECT version_num FROM {live}.alembic_version),
       (SELECT version_num FROM {second}.alembic_version);

-- name: differences_of_money
-- What the live ledger has and the second one, of another topic, lacks or has otherwise: payments
-- and balances, wherever their records lie and in whichever order they came. The other topic may
-- well have more.
WITH found AS (
    SELECT l.inn, 'payment' AS kind, 'operation ' || l.operation_id::text AS what,
           r.operation_id IS NOT NULL AS is_second
    FROM {live}.payment AS l LEFT JOIN {second}.payment AS r USING (operation_id)
    WHERE r.operation_id IS NULL
       OR (l.inn, l.amount, l.document_number, l.document_date, l.received_at)
          IS DISTINCT FROM (r.inn, r.amount, r.document_number, r.document_date, r.received_at)
    UNION ALL
    SELECT l.inn, 'balance', coalesce(r.balance, l.balance)::text, r.inn IS NOT NULL
    FROM {live}.organization AS l LEFT JOIN {second}.organization AS r USING (inn)
    WHERE r.inn IS NULL OR l.entries > r.entries
       OR l.entries = r.entries AND l.balance <> r.balance
)
SELECT inn, kind, what || CASE WHEN is_second THEN ': another one in the live ledger'
                               ELSE ': only the live ledger has it' END
FROM found ORDER BY inn, kind, what LIMIT %(limit)s;

-- name: count_lacking
-- How many payments of the live ledger the second one does not have.
SELECT count(*) FROM {live}.payment AS l
WHERE NOT EXISTS (SELECT FROM {second}.payment AS r WHERE r.operation_id = l.operation_id);

-- name: part_from_decisions
-- Positions mean other records in a new topic. Decisions about dead letters that are not the same
-- there go on under a name that says of which topic they are.
UPDATE ostatok_service.dead_letter_decision AS made
SET topic = %(topic)s || '@' || (SELECT min(topic_id) FROM {live}.applied_offset
                                 WHERE topic = %(topic)s)
WHERE topic = %(topic)s AND NOT EXISTS (
    SELECT FROM {live}.dead_letter AS l
    JOIN {second}.dead_letter AS r USING (topic, partition, "offset", reason, timestamp_ms)
    WHERE (l.topic, l.partition, l."offset") = (made.topic, made.partition, made."offset"));

-- name: differences
-- What the live ledger and the second one do not have alike. Only what the live one has applied and
-- the second one has not come to is no difference.
WITH ahead AS MATERIALIZED (
    SELECT topic, partition, r.next_offset AS first, l.next_offset AS after
    FROM {live}.applied_offset AS l JOIN {second}.applied_offset AS r USING (topic, partition)
), paid AS (
    SELECT p.* FROM {live}.payment AS p LEFT JOIN ahead AS a
        ON (a.topic, a.partition) = (p.topic, p.partition)
       AND p."offset" >= a.first AND p."offset" < a.after
    WHERE a.topic IS NULL
), logged AS (
    SELECT l.* FROM {live}.balance_log AS l
    LEFT JOIN {live}.payment AS p USING (operation_id)
    LEFT JOIN ahead AS a ON (a.topic, a.partition) = (p.topic, p.partition)
                        AND p."offset" >= a.first AND p."offset" < a.after
    WHERE a.topic IS NULL
), repeated AS (
    SELECT d.* FROM {live}.duplicate AS d LEFT JOIN ahead AS a
        ON (a.topic, a.partition) = (d.topic, d.partition)
       AND d."offset" >= a.first AND d."offset" < a.after
    WHERE a.topic IS NULL
), dead AS (
    SELECT d.*, key IS NULL AND value IS NULL AND header_names = '{{}}' AS is_emptied
    FROM {live}.dead_letter AS d LEFT JOIN ahead AS a
        ON (a.topic, a.partition) = (d.topic, d.partition)
       AND d."offset" >= a.first AND d."offset" < a.after
    WHERE a.topic IS NULL
), found AS (
    SELECT coalesce(l.inn, r.inn) AS inn, 'payment' AS kind,
           'operation ' || coalesce(l.operation_id, r.operation_id)::text AS what,
           l.operation_id IS NOT NULL AS is_live, r.operation_id IS NOT NULL AS is_second
    FROM paid AS l FULL JOIN {second}.payment AS r USING (operation_id)
    WHERE ROW(l.*) IS DISTINCT FROM ROW(r.*)
    UNION ALL
    SELECT coalesce(l.inn, r.inn), 'log', 'entry ' || coalesce(l.entry, r.entry)::text,
           l.entry IS NOT NULL, r.entry IS NOT NULL
    FROM logged AS l FULL JOIN {second}.balance_log AS r USING (inn, entry)
    WHERE ROW(l.*) IS DISTINCT FROM ROW(r.*)
    UNION ALL
    SELECT coalesce(l.inn, r.inn), 'balance', coalesce(r.balance, l.balance)::text,
           l.inn IS NOT NULL, r.inn IS NOT NULL
    FROM {live}.organization AS l FULL JOIN {second}.organization AS r USING (inn)
    WHERE l.entries = r.entries AND ROW(l.*) IS DISTINCT FROM ROW(r.*)
       OR l.inn IS NULL OR l.entries < r.entries
       OR r.inn IS NULL AND EXISTS (SELECT FROM logged WHERE logged.inn = l.inn)
       -- The live one may have gone on: then its log has gone on too, and as far.
       OR l.entries > coalesce(r.entries, 0) AND NOT EXISTS (
           SELECT FROM {live}.balance_log AS last
           WHERE (last.inn, last.entry, last.new_balance, last.link)
               = (l.inn, l.entries, l.balance, l.head))
    UNION ALL
    SELECT coalesce(l.inn, r.inn), 'duplicate',
           coalesce(l.partition, r.partition)::text || ':' || coalesce(l."offset", r."offset"),
           l.inn IS NOT NULL, r.inn IS NOT NULL
    FROM repeated AS l FULL JOIN {second}.duplicate AS r USING (topic, partition, "offset")
    WHERE ROW(l.*) IS DISTINCT FROM ROW(r.*)
    UNION ALL
    SELECT '', 'dead letter',
           coalesce(l.partition, r.partition)::text || ':' || coalesce(l."offset", r."offset"),
           l.reason IS NOT NULL, r.reason IS NOT NULL
    FROM dead AS l FULL JOIN {second}.dead_letter AS r USING (topic, partition, "offset")
    WHERE l.reason IS DISTINCT FROM r.reason
       OR (l.timestamp_ms, l.received_at) IS DISTINCT FROM (r.timestamp_ms, r.received_at)
       OR NOT l.is_emptied
          AND (l.key, l.value, l.header_names, l.header_values, l.operation_id)
              IS DISTINCT FROM (r.key, r.value, r.header_names, r.header_values, r.operation_id)
)
SELECT inn, kind, what || CASE WHEN NOT is_second THEN ': only the live ledger has it'
                               WHEN NOT is_live THEN ': the live ledger lacks it'
                               ELSE ': another one in the live ledger' END
FROM found ORDER BY inn, kind, what LIMIT %(limit)s;
