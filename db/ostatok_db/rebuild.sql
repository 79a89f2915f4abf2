-- What a rebuild asks of the live ledger and of the second one. {live} and {second} are schemas.

-- name: disputed_operations
-- Operations that came in several partitions, and the partition of the record that counts.
SELECT DISTINCT operation_id::text, paid.partition
FROM {live}.duplicate AS repeat JOIN {live}.payment AS paid USING (topic, operation_id)
WHERE repeat.topic = %(topic)s AND repeat.partition <> paid.partition;

-- name: held_back
-- Their other records, where the second ledger has gone past one without giving it an outcome.
SELECT repeat.partition, repeat."offset"
FROM {live}.duplicate AS repeat JOIN {live}.payment AS paid USING (topic, operation_id)
JOIN {second}.applied_offset AS a
  ON (a.topic, a.partition) = (repeat.topic, repeat.partition) AND repeat."offset" < a.next_offset
WHERE repeat.topic = %(topic)s AND repeat.partition <> paid.partition
  AND (repeat.partition, repeat."offset") > (%(partition)s, %(offset)s)
  AND NOT EXISTS (SELECT FROM {second}.duplicate AS d
                  WHERE (d.topic, d.partition, d."offset")
                      = (repeat.topic, repeat.partition, repeat."offset"))
  AND NOT EXISTS (SELECT FROM {second}.dead_letter AS d
                  WHERE (d.topic, d.partition, d."offset")
                      = (repeat.topic, repeat.partition, repeat."offset"))
ORDER BY repeat.partition, repeat."offset" LIMIT %(limit)s;

-- name: differences
-- What the live ledger and the second one do not have alike, of what the second has come to.
WITH paid AS (
    SELECT p.* FROM {live}.payment AS p JOIN {second}.applied_offset AS a USING (topic, partition)
    WHERE p."offset" < a.next_offset
), logged AS (
    SELECT l.* FROM {live}.balance_log AS l
    LEFT JOIN {live}.payment AS p USING (operation_id)
    LEFT JOIN {second}.applied_offset AS a
           ON (a.topic, a.partition) = (p.topic, p.partition)
    WHERE p.operation_id IS NULL OR p."offset" < a.next_offset
), repeated AS (
    SELECT d.* FROM {live}.duplicate AS d
    JOIN {second}.applied_offset AS a USING (topic, partition) WHERE d."offset" < a.next_offset
), dead AS (
    SELECT d.* FROM {live}.dead_letter AS d
    JOIN {second}.applied_offset AS a USING (topic, partition) WHERE d."offset" < a.next_offset
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
    SELECT coalesce(l.inn, r.inn), 'balance', coalesce(l.balance, r.balance)::text,
           l.inn IS NOT NULL, r.inn IS NOT NULL
    FROM {live}.organization AS l FULL JOIN {second}.organization AS r USING (inn)
    -- The live one may have gone on since.
    WHERE l.entries = r.entries AND ROW(l.*) IS DISTINCT FROM ROW(r.*)
       OR l.inn IS NULL OR l.entries < r.entries
       OR r.inn IS NULL AND EXISTS (SELECT FROM logged WHERE logged.inn = l.inn)
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
    WHERE ROW(l.*) IS DISTINCT FROM ROW(r.*)
)
SELECT inn, kind, what || CASE WHEN NOT is_second THEN ': only the live ledger has it'
                               WHEN NOT is_live THEN ': the live ledger lacks it'
                               ELSE ': another one in the live ledger' END
FROM found ORDER BY inn, kind, what LIMIT %(limit)s;
