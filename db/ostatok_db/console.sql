-- What the console's pages show: each a look-up by an index, however large the ledger is.

-- name: list_organizations
-- Organizations whose INN lies in a range, in the order of their INNs, behind one of them.
SELECT inn, balance, entries, changed_at FROM organization
WHERE inn > %(after)s AND inn >= %(low)s AND (%(high)s::text IS NULL OR inn < %(high)s)
ORDER BY inn LIMIT %(limit)s;

-- name: read_organization_whole
-- One organization, with the head of its chain, the time of its first entry, and of each of some
-- moments the last entry before it and the balance after that: by bisection, as
-- find_entry_before_moment has it, all of one snapshot.
WITH RECURSIVE bisection (number, moment, low, high) AS (
    SELECT number, moment, 0::bigint, entries
    FROM organization, unnest(%(moments)s::timestamptz[]) WITH ORDINALITY AS asked (moment, number)
    WHERE inn = %(inn)s
    UNION ALL
    SELECT number, moment, CASE WHEN is_before THEN middle ELSE low END,
           CASE WHEN is_before THEN high ELSE middle - 1 END
    FROM (SELECT number, moment, low, high, middle,
                 (SELECT created_at < moment FROM balance_log
                  WHERE inn = %(inn)s AND entry = middle) AS is_before
          FROM (SELECT number, moment, low, high, (low + high + 1) / 2 AS middle FROM bisection
                WHERE low < high) AS halved
          OFFSET 0) AS looked  -- Or each would be looked up twice.
)
SELECT inn, balance, entries, changed_at, head,
       (SELECT created_at FROM balance_log AS log WHERE log.inn = organization.inn AND entry = 1),
       ARRAY(SELECT low FROM bisection WHERE low = high ORDER BY number),
       ARRAY(SELECT coalesce((SELECT new_balance FROM balance_log
                              WHERE inn = %(inn)s AND entry = low), 0.00)
             FROM bisection WHERE low = high ORDER BY number)
FROM organization WHERE inn = %(inn)s;

-- name: summarize_organizations
-- How many organizations there are, and what all of them paid. Reads them all: for a snapshot.
SELECT count(*), coalesce(sum(balance), 0.00), coalesce(sum(entries), 0)::bigint FROM organization;

-- name: rank_by_balance
-- The organizations with the biggest balances. Reads them all: for a snapshot.
SELECT inn, balance, entries, changed_at FROM organization
ORDER BY balance DESC, inn LIMIT %(limit)s;

-- name: rank_by_activity
-- The organizations whose balance changed last. Reads them all: for a snapshot.
SELECT inn, balance, entries, changed_at FROM organization
ORDER BY changed_at DESC, inn LIMIT %(limit)s;

-- name: read_log_page
-- Entries of an INN from one number to another, each with its payment; and of some others, by their
-- numbers, the time and the balance after each.
SELECT log.entry, log.operation_id::text, log.amount, log.previous_balance, log.new_balance,
       log.created_at, paid.document_number, paid.document_date, paid.partition, paid."offset",
       paid.received_at
FROM balance_log AS log
CROSS JOIN LATERAL (
    -- LIMIT keeps it a look-up by key, whatever the planner thinks of the tables.
    SELECT * FROM payment WHERE operation_id = log.operation_id LIMIT 1
) AS paid
WHERE log.inn = %(inn)s AND log.entry BETWEEN %(first)s AND %(last)s
UNION ALL
SELECT entry, NULL, NULL, NULL, new_balance, created_at, NULL, NULL, NULL, NULL, NULL
FROM balance_log
WHERE inn = %(inn)s AND entry = ANY(%(samples)s::bigint[])
ORDER BY 1;

-- name: find_entries_by_document
-- The entries of an INN from one number to another whose payment has a document number, the latest
-- first. Looks each of them up: an index on document numbers would cost every payment one more
-- write, for a look that few take.
SELECT log.entry, log.operation_id::text, log.amount, log.created_at, paid.document_date
FROM balance_log AS log
CROSS JOIN LATERAL (
    -- OFFSET keeps it a look-up by key, whatever the planner thinks of the tables.
    SELECT document_number, document_date FROM payment
    WHERE operation_id = log.operation_id OFFSET 0
) AS paid
WHERE log.inn = %(inn)s AND log.entry BETWEEN %(first)s AND %(last)s
  AND paid.document_number = %(document_number)s
ORDER BY log.entry DESC LIMIT %(limit)s;

-- name: find_operation_at
-- The operation whose record lies at a position, whatever its outcome; null when a dead letter
-- names none.
SELECT operation_id::text, 'applied' FROM payment
WHERE topic = %(topic)s AND partition = %(partition)s AND "offset" = %(offset)s
UNION ALL
SELECT operation_id::text, outcome FROM duplicate
WHERE topic = %(topic)s AND partition = %(partition)s AND "offset" = %(offset)s
UNION ALL
SELECT operation_id::text, 'dead' FROM dead_letter
WHERE topic = %(topic)s AND partition = %(partition)s AND "offset" = %(offset)s;

-- name: list_conflicts
-- Conflicts, the latest first: of all INNs, in a period, before one of them.
SELECT partition, "offset", operation_id::text, inn, differences, source, request_id, received_at
FROM duplicate
WHERE topic = %(topic)s AND outcome = 'conflict'
  AND received_at >= %(since)s AND received_at < %(until)s
  AND (received_at, partition, "offset")
      < (%(before_received_at)s, %(before_partition)s::integer, %(before_offset)s::bigint)
ORDER BY received_at DESC, partition DESC, "offset" DESC LIMIT %(limit)s;

-- name: list_conflicts_of
-- The same of one INN: that of the record which was refused.
SELECT partition, "offset", operation_id::text, inn, differences, source, request_id, received_at
FROM duplicate
WHERE inn = %(inn)s AND topic = %(topic)s AND outcome = 'conflict'
  AND received_at >= %(since)s AND received_at < %(until)s
  AND (received_at, partition, "offset")
      < (%(before_received_at)s, %(before_partition)s::integer, %(before_offset)s::bigint)
ORDER BY received_at DESC, partition DESC, "offset" DESC LIMIT %(limit)s;

-- name: read_conflict
-- The conflict at a position.
SELECT partition, "offset", operation_id::text, inn, differences, source, request_id, received_at
FROM duplicate
WHERE topic = %(topic)s AND partition = %(partition)s AND "offset" = %(offset)s
  AND outcome = 'conflict';

-- name: latest_dead_letters
-- The latest dead letters, the latest first.
SELECT partition, "offset", operation_id::text, reason, received_at FROM dead_letter
WHERE topic = %(topic)s ORDER BY received_at DESC, partition DESC, "offset" DESC LIMIT %(limit)s;

-- name: count_outcomes_between
-- How many records of some ranges, one of each partition, became what moved no money.
SELECT outcome, count(*)
FROM unnest(%(partitions)s::integer[], %(firsts)s::bigint[], %(ends)s::bigint[])
         AS range (partition, first, "end")
CROSS JOIN LATERAL (
    -- OFFSET keeps each a look along the key, whatever the planner thinks of the tables.
    (SELECT outcome FROM duplicate
     WHERE topic = %(topic)s AND duplicate.partition = range.partition
       AND "offset" >= range.first AND "offset" < range."end" OFFSET 0)
    UNION ALL
    (SELECT 'dead' FROM dead_letter
     WHERE topic = %(topic)s AND dead_letter.partition = range.partition
       AND "offset" >= range.first AND "offset" < range."end" OFFSET 0)
) AS found
GROUP BY outcome;
