-- What audit and replay ask, to compare the ledger with the journal and with itself.

-- name: audit_outcomes
-- Every outcome recorded of a partition's offsets [first, after), whole.
SELECT 'applied' AS outcome, "offset", operation_id::text, inn, amount, document_number,
       document_date, source, request_id, received_at, NULL::jsonb AS differences,
       NULL AS reason, NULL::bytea AS key, NULL::bytea AS value, NULL::bytea[] AS header_names,
       NULL::bytea[] AS header_values, NULL::bigint AS timestamp_ms
FROM payment WHERE topic = %(topic)s AND partition = %(partition)s
               AND "offset" >= %(first)s AND "offset" < %(after)s
UNION ALL
SELECT outcome, "offset", operation_id::text, inn, NULL, NULL, NULL, source, request_id,
       received_at, differences, NULL, NULL, NULL, NULL, NULL, NULL
FROM duplicate WHERE topic = %(topic)s AND partition = %(partition)s
                 AND "offset" >= %(first)s AND "offset" < %(after)s
UNION ALL
SELECT 'dead', "offset", operation_id::text, NULL, NULL, NULL, NULL, NULL, NULL,
       received_at, NULL, reason, key, value, header_names, header_values, timestamp_ms
FROM dead_letter WHERE topic = %(topic)s AND partition = %(partition)s
                   AND "offset" >= %(first)s AND "offset" < %(after)s;

-- name: read_recorded
-- Those of some positions that have an outcome.
SELECT partition, "offset"
FROM unnest(%(partitions)s::integer[], %(offsets)s::bigint[]) AS asked (partition, "offset")
WHERE EXISTS (SELECT FROM payment WHERE topic = %(topic)s AND partition = asked.partition
                                    AND "offset" = asked."offset")
   OR EXISTS (SELECT FROM duplicate WHERE topic = %(topic)s AND partition = asked.partition
                                      AND "offset" = asked."offset")
   OR EXISTS (SELECT FROM dead_letter WHERE topic = %(topic)s AND partition = asked.partition
                                        AND "offset" = asked."offset");

-- name: record_replayed
-- Marks records that get their outcome now, later than those behind them.
INSERT INTO replayed (topic, partition, "offset", inn)
SELECT %(topic)s, * FROM unnest(%(partitions)s::integer[], %(offsets)s::bigint[], %(inns)s::text[])
ON CONFLICT (topic, partition, "offset") DO NOTHING;

-- name: audit_replayed
-- Those of a partition's offsets [first, after) that a replay gave their outcome.
SELECT "offset" FROM replayed WHERE topic = %(topic)s AND partition = %(partition)s
                                AND "offset" >= %(first)s AND "offset" < %(after)s;

-- name: count_replayed
-- How many records a replay gave their outcome.
SELECT count(*) FROM replayed;

-- name: audit_winners
-- The payments of some operations.
SELECT operation_id::text, partition, "offset", inn, amount, document_number, document_date
FROM payment WHERE operation_id = ANY(%(operation_ids)s::uuid[]);

-- name: audit_organizations
-- Organizations in the order of their INNs, from one on.
SELECT inn, balance, entries, head, changed_at FROM organization
WHERE inn > %(after)s ORDER BY inn LIMIT %(limit)s;

-- name: audit_entries
-- Log entries of some INNs, each from one number to another, with their payments, in order.
SELECT log.inn, log.entry, log.operation_id::text, log.amount, log.previous_balance,
       log.new_balance, log.created_at, log.link,
       paid.inn, paid.amount, paid.document_number, paid.document_date, paid.topic,
       paid.partition, paid."offset", paid.received_at, paid.source
FROM unnest(%(inns)s::text[], %(firsts)s::bigint[], %(lasts)s::bigint[])
     AS asked (inn, first, last)
JOIN balance_log AS log ON log.inn = asked.inn AND log.entry BETWEEN asked.first AND asked.last
LEFT JOIN LATERAL (
    SELECT * FROM payment WHERE operation_id = log.operation_id LIMIT 1
) AS paid ON true
ORDER BY log.inn, log.entry;

-- name: audit_totals
-- How many rows there must be equally many of, at one moment.
SELECT (SELECT coalesce(sum(entries), 0)::bigint FROM organization),
       (SELECT count(*) FROM balance_log), (SELECT count(*) FROM payment);

-- name: audit_payments_without_entry
-- Payments that no log entry of their INN knows; only asked when the totals differ.
SELECT operation_id::text, inn, partition, "offset" FROM payment AS paid
WHERE NOT EXISTS (SELECT FROM balance_log AS log
                  WHERE log.inn = paid.inn AND log.operation_id = paid.operation_id)
ORDER BY inn, partition, "offset" LIMIT %(limit)s;

-- name: audit_entries_beyond
-- Log entries behind the last one that their INN's row knows; only asked when the totals differ.
SELECT log.inn, log.entry, log.operation_id::text FROM balance_log AS log
LEFT JOIN organization AS known USING (inn)
WHERE log.entry > coalesce(known.entries, 0) ORDER BY log.inn, log.entry LIMIT %(limit)s;

-- name: audit_other_topics
-- Topics that have outcomes and are not the ledger's.
SELECT DISTINCT topic FROM (
    SELECT topic FROM payment WHERE topic <> %(topic)s
    UNION ALL SELECT topic FROM duplicate WHERE topic <> %(topic)s
    UNION ALL SELECT topic FROM dead_letter WHERE topic <> %(topic)s
) AS others ORDER BY topic LIMIT %(limit)s;

-- name: audit_outcomes_beyond
-- Outcomes at offsets that a partition has not come to, or that no partition has.
SELECT partition, "offset" FROM applied_offset AS stands RIGHT JOIN (
    SELECT topic, partition, "offset" FROM payment
    UNION ALL SELECT topic, partition, "offset" FROM duplicate
    UNION ALL SELECT topic, partition, "offset" FROM dead_letter
) AS recorded USING (topic, partition)
WHERE topic = %(topic)s AND "offset" >= coalesce(stands.next_offset, 0)
ORDER BY partition, "offset" LIMIT %(limit)s;

-- name: digest_heads
-- The head of each INN's chain, in the order of the INNs' bytes.
SELECT inn, entries, head FROM organization ORDER BY inn COLLATE "C";

-- name: digest_heads_at
-- The same as it was when each partition was applied up to an offset.
SELECT DISTINCT ON (log.inn COLLATE "C") log.inn, log.entry, log.link
FROM balance_log AS log
JOIN payment AS paid USING (operation_id)
JOIN unnest(%(partitions)s::integer[], %(offsets)s::bigint[]) AS up_to (partition, "offset")
     ON paid.partition = up_to.partition AND paid."offset" < up_to."offset"
WHERE paid.topic = %(topic)s
ORDER BY log.inn COLLATE "C", log.entry DESC;
