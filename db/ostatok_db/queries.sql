-- The statements that apply and read, named, with what it promises. Loaded by queries.py.

-- name: make_staging
-- The batch under way. Lives as long as the connection, empty at each transaction's end.
CREATE TEMPORARY TABLE IF NOT EXISTS incoming (
    operation_id    uuid,
    inn             text,
    amount          numeric(15, 2),
    document_number text,
    document_date   timestamptz,
    source          text,
    request_id      text,
    partition       integer,
    "offset"        bigint,
    received_at     timestamptz
) ON COMMIT DELETE ROWS;

-- name: limit_transactions
-- A worker whose machine froze in the middle of a batch must not hold its partitions for ever.
SET transaction_timeout = '120s';

-- name: plan_for_batches
-- A batch looks up its own rows, each by its key. A plan that reads whole tables or whole indexes,
-- made when they were small or not analyzed yet, would be kept while they grow: merged with all of
-- payment_pkey, a batch of 6 took ten times as long at 60,000 payments as at 30. Nor is machine
-- code worth making for a batch: what forbids the scans makes Postgres before 18 take every plan
-- for a costly one.
SELECT set_config(name, 'off', false)
FROM unnest('{enable_seqscan, enable_hashjoin, enable_mergejoin, jit}'::text[]) AS name;

-- name: limit_locks
-- A lock is waited for in turns, so that the wait is reported. Migrations wait as long as it takes.
SELECT set_config('lock_timeout', %(milliseconds)s, false);

-- name: copy_incoming
-- Takes a batch in, in COPY's text format, the columns in the order above.
COPY incoming FROM STDIN;

-- name: lock_offsets
-- Locks the rows of the partitions in this batch, in partition order, and gives where each stands.
-- Whoever holds them is the only one who writes for the INNs of these partitions; a worker that
-- was paused finds here that another went past it.
SELECT partition, next_offset, topic_id FROM applied_offset
WHERE topic = %(topic)s AND partition = ANY(%(partitions)s) ORDER BY partition FOR UPDATE;

-- name: apply_incoming
-- Records each operation not seen before, and with it the log entry and the balance.
-- Within a partition the lowest offset of an operation wins, between partitions the first received.
-- Inserts in operation order, so that two batches can't deadlock; an INN's row is its partition's.
-- Fails on payment_pkey when another session recorded one of the operations at the same time:
-- ON CONFLICT would not, but every batch takes longer with it (1.06 times).
-- Gives for each partition how many were applied, and which unless all were.
WITH first_in_partition AS (
    SELECT DISTINCT ON (operation_id, partition) * FROM incoming
    ORDER BY operation_id, partition, "offset"
), candidate AS (
    SELECT DISTINCT ON (operation_id) * FROM first_in_partition
    ORDER BY operation_id, received_at, partition
), inserted AS (
    INSERT INTO payment (operation_id, inn, amount, document_number, document_date, source,
                         request_id, topic, partition, "offset", received_at)
    SELECT operation_id, inn, amount, document_number, document_date, source,
           request_id, %(topic)s, partition, "offset", received_at
    FROM candidate
    WHERE NOT EXISTS (SELECT FROM payment AS p WHERE p.operation_id = candidate.operation_id)
    ORDER BY operation_id
    RETURNING *
), entered AS (
    SELECT i.*,
           coalesce(o.head, '') AS before,
           coalesce(o.entries, 0) + row_number() OVER so_far AS entry,
           coalesce(o.balance, 0) + sum(i.amount) OVER so_far AS new_balance,
           greatest(o.changed_at, max(i.received_at) OVER so_far) AS created_at,
           lead(0) OVER so_far IS NULL AS is_last
    FROM inserted i LEFT JOIN organization o USING (inn)
    WINDOW so_far AS (PARTITION BY i.inn ORDER BY i."offset" ROWS UNBOUNDED PRECEDING)
), linked AS (
    SELECT *, chain(before, concat_ws(E'\n',
               inn, entry, operation_id, amount, new_balance, document_number,
               (extract(epoch FROM document_date) * 1000000)::bigint,
               topic, partition, "offset",
               (extract(epoch FROM received_at) * 1000000)::bigint,
               coalesce(source, '')
           )) OVER (PARTITION BY inn ORDER BY "offset" ROWS UNBOUNDED PRECEDING) AS link
    FROM entered
), logged AS (
    INSERT INTO balance_log (inn, entry, operation_id, amount, previous_balance, new_balance,
                             created_at, link)
    SELECT inn, entry, operation_id, amount, new_balance - amount, new_balance, created_at, link
    FROM linked
), balanced AS (
    UPDATE organization o SET balance = new_balance, entries = entry, head = link,
                              changed_at = created_at
    FROM linked WHERE is_last AND o.inn = linked.inn
), opened AS (
    INSERT INTO organization (inn, balance, entries, head, changed_at)
    SELECT inn, new_balance, entry, link, created_at FROM linked WHERE is_last AND before = ''
)
SELECT partition, count(*) AS applied,
       CASE WHEN (SELECT count(*) FROM inserted) < (SELECT count(*) FROM incoming)
            THEN array_agg("offset") END AS offsets
FROM inserted GROUP BY partition;

-- name: record_repeats
-- Gives each record of the batch that another record of its operation had won its outcome.
-- A statement of its own, so that it sees the winner that another session committed meanwhile.
-- Gives what it recorded; of a conflict with the source of the winner too.
WITH recorded AS (
INSERT INTO duplicate (topic, partition, "offset", operation_id, inn, outcome, differences,
                       source, request_id, received_at)
SELECT %(topic)s, i.partition, i."offset", i.operation_id, i.inn,
       CASE WHEN d.differences IS NULL THEN 'duplicate' ELSE 'conflict' END, d.differences,
       i.source, i.request_id, i.received_at
FROM incoming i
JOIN payment p USING (operation_id)
CROSS JOIN LATERAL (
    SELECT jsonb_object_agg(field, jsonb_build_object('recorded', recorded, 'received', received))
    FROM (VALUES
        ('payer_inn', p.inn, i.inn),
        ('amount', p.amount::text, i.amount::text),
        ('document_number', p.document_number, i.document_number),
        ('document_date', p.document_date::text, i.document_date::text)
    ) AS compared (field, recorded, received)
    WHERE recorded <> received
) AS d (differences)
WHERE (p.topic, p.partition, p."offset") <> (%(topic)s, i.partition, i."offset")
ORDER BY i.partition, i."offset"
ON CONFLICT (topic, partition, "offset") DO NOTHING
RETURNING partition, "offset", outcome, operation_id, inn, request_id, differences, source
)
SELECT r.partition, r."offset", r.outcome, r.operation_id::text, r.inn, r.request_id, r.differences,
       r.source, p.source
FROM recorded r LEFT JOIN payment p ON r.outcome = 'conflict' AND p.operation_id = r.operation_id;

-- name: record_dead_letter
-- Keeps a record that can be no payment. One that is kept already stays as it is.
INSERT INTO dead_letter (topic, partition, "offset", operation_id, reason, key, value,
                         header_names, header_values, timestamp_ms, received_at)
VALUES (%(topic)s, %(partition)s, %(offset)s, %(operation_id)s, %(reason)s, %(key)s, %(value)s,
        %(header_names)s, %(header_values)s, %(timestamp_ms)s, %(received_at)s)
ON CONFLICT (topic, partition, "offset") DO NOTHING;

-- name: advance_offsets
-- The last statement of a batch: its outcomes and this row are committed together or not at all.
UPDATE applied_offset SET next_offset = reached.next_offset
FROM unnest(%(partitions)s::integer[], %(next_offsets)s::bigint[])
     AS reached (partition, next_offset)
WHERE topic = %(topic)s AND applied_offset.partition = reached.partition
  AND applied_offset.next_offset < reached.next_offset;

-- name: read_offsets
-- Where each partition of the topic stands, and which topic it was.
SELECT partition, next_offset, topic_id FROM applied_offset
WHERE topic = %(topic)s ORDER BY partition;

-- name: make_offsets
-- Starts a topic never applied before at its first offset.
INSERT INTO applied_offset (topic, partition, next_offset, topic_id)
SELECT %(topic)s, partition, 0, %(topic_id)s
FROM generate_series(0, %(partitions)s - 1) AS partition
ON CONFLICT (topic, partition) DO NOTHING;

-- name: read_standings
-- Balances and how far their partitions are applied, in one snapshot, in the order asked.
-- Looks up each by its key, as a join need not: see plan_for_batches. The offset first: a swap of
-- ledgers locks the tables in this order.
SELECT coalesce((SELECT next_offset FROM applied_offset
                 WHERE topic = %(topic)s AND partition = asked.partition), 0),
       (SELECT balance FROM organization WHERE inn = asked.inn)
FROM unnest(%(inns)s::text[], %(partitions)s::integer[]) WITH ORDINALITY
     AS asked (inn, partition, place)
ORDER BY asked.place;

-- name: read_records_of
-- Every record of an operation that has its outcome, and what the ledger made of it, up to a limit
-- of each kind.
SELECT 'applied' AS outcome, partition, "offset", inn, source, request_id, received_at,
       amount, document_number, document_date, NULL::jsonb AS differences, NULL AS reason
FROM payment WHERE operation_id = %(operation_id)s
UNION ALL
(SELECT outcome, partition, "offset", inn, source, request_id, received_at,
        NULL, NULL, NULL, differences, NULL
 FROM duplicate WHERE operation_id = %(operation_id)s
 ORDER BY received_at, partition, "offset" LIMIT %(limit)s)
UNION ALL
(SELECT 'dead', partition, "offset", NULL, NULL, NULL, received_at,
        NULL, NULL, NULL, NULL, reason
 FROM dead_letter WHERE operation_id = %(operation_id)s
 ORDER BY received_at, partition, "offset" LIMIT %(limit)s);

-- name: read_outcome
-- What became of the record at a position; no row when it has no outcome yet.
SELECT 'applied' AS outcome, NULL::jsonb AS differences FROM payment
WHERE topic = %(topic)s AND partition = %(partition)s AND "offset" = %(offset)s
UNION ALL
SELECT outcome, differences FROM duplicate
WHERE topic = %(topic)s AND partition = %(partition)s AND "offset" = %(offset)s
UNION ALL
SELECT 'dead', NULL FROM dead_letter
WHERE topic = %(topic)s AND partition = %(partition)s AND "offset" = %(offset)s;

-- name: find_entry_before_moment
-- The last entry of an INN made before a moment, and the balance after it; entry 0 when there is
-- none, no row for an INN that never paid. By bisection: an INN's entries are numbered without a
-- hole, and ordered in time.
WITH RECURSIVE bisection (low, high) AS (
    SELECT 0::bigint, entries FROM organization WHERE inn = %(inn)s
    UNION ALL
    SELECT CASE WHEN is_before THEN middle ELSE low END,
           CASE WHEN is_before THEN high ELSE middle - 1 END
    FROM (SELECT low, high, middle,
                 (SELECT created_at < %(moment)s FROM balance_log
                  WHERE inn = %(inn)s AND entry = middle) AS is_before
          FROM (SELECT low, high, (low + high + 1) / 2 AS middle FROM bisection
                WHERE low < high) AS halved
          OFFSET 0) AS looked  -- Or each would be looked up twice.
)
SELECT low, coalesce((SELECT new_balance FROM balance_log
                      WHERE inn = %(inn)s AND entry = low), 0.00)
FROM bisection WHERE low = high;

-- name: has_replayed
-- Whether a replay added to an INN's log: then its entries are not in the order of their offsets.
SELECT EXISTS (SELECT FROM replayed WHERE inn = %(inn)s);

-- name: find_entry_up_to_offset
-- The same for the last entry whose record lies at or before an offset of the INN's partition; and
-- that entry itself, with its payment. The ledger applies a partition in the order of its offsets,
-- but for what was replayed.
WITH RECURSIVE bisection (low, high) AS (
    SELECT 0::bigint, entries FROM organization WHERE inn = %(inn)s
    UNION ALL
    SELECT CASE WHEN is_before THEN middle ELSE low END,
           CASE WHEN is_before THEN high ELSE middle - 1 END
    FROM (SELECT low, high, middle,
                 (SELECT (SELECT "offset" FROM payment
                          WHERE operation_id = log.operation_id) <= %(offset)s
                  FROM balance_log AS log WHERE inn = %(inn)s AND entry = middle) AS is_before
          FROM (SELECT low, high, (low + high + 1) / 2 AS middle FROM bisection
                WHERE low < high) AS halved
          OFFSET 0) AS looked  -- Or each would be looked up twice.
)
SELECT low, coalesce(log.new_balance, 0.00),
       log.operation_id::text, log.amount, log.previous_balance, log.new_balance, log.created_at,
       paid.document_number, paid.document_date, paid.partition, paid."offset", paid.received_at
FROM bisection
LEFT JOIN LATERAL (
    -- LIMIT keeps each a look-up by key, whatever the planner thinks of the tables.
    SELECT * FROM balance_log WHERE inn = %(inn)s AND entry = low LIMIT 1
) AS log ON true
LEFT JOIN LATERAL (
    SELECT * FROM payment WHERE operation_id = log.operation_id LIMIT 1
) AS paid ON true
WHERE low = high;

-- name: read_organization
-- Where an INN's log stands: its last entry and the balance; no row for an INN that never paid.
SELECT entries, balance FROM organization WHERE inn = %(inn)s;

-- name: find_entry_of
-- The number of the entry that an operation made, one by one: only for an entry that bisection
-- does not find, because a replay made it later than the records behind it.
SELECT entry FROM balance_log WHERE inn = %(inn)s AND operation_id = %(operation_id)s LIMIT 1;

-- name: read_entries
-- Entries of an INN from one number to another, each with its payment.
SELECT log.entry, log.operation_id::text, log.amount, log.previous_balance, log.new_balance,
       log.created_at, paid.document_number, paid.document_date, paid.partition, paid."offset",
       paid.received_at
FROM balance_log AS log
CROSS JOIN LATERAL (
    -- LIMIT keeps it a look-up by key, whatever the planner thinks of the tables.
    SELECT * FROM payment WHERE operation_id = log.operation_id LIMIT 1
) AS paid
WHERE log.inn = %(inn)s AND log.entry BETWEEN %(first)s AND %(last)s
ORDER BY log.entry;
