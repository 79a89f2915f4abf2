-- Dead letters, and what operators decided about them.

-- name: list_dead_letters
-- Dead letters, the earliest first, each with the last decision about it: those that are wanted of
-- so many that are looked at, null for all.
SELECT dead.partition, dead."offset", dead.operation_id::text, dead.reason, dead.received_at,
       last.decision, last.reason, last.new_partition, last.new_offset, last.decided_by,
       last.decided_at
FROM (
    SELECT * FROM dead_letter
    WHERE topic = %(topic)s AND received_at >= %(since)s AND received_at < %(until)s
      AND (received_at, partition, "offset")
          > (%(after_received_at)s, %(after_partition)s::integer, %(after_offset)s::bigint)
    ORDER BY received_at, partition, "offset" LIMIT %(looks_max)s::bigint
) AS dead
LEFT JOIN LATERAL (
    SELECT * FROM ostatok_service.dead_letter_decision AS made
    WHERE made.topic = dead.topic AND made.partition = dead.partition
      AND made."offset" = dead."offset"
    ORDER BY id DESC LIMIT 1
) AS last ON true
WHERE (%(operation_id)s::uuid IS NULL OR dead.operation_id = %(operation_id)s)
  AND (%(reason)s::text IS NULL OR strpos(lower(dead.reason), lower(%(reason)s)) > 0)
  AND (%(decided)s::boolean IS NULL OR (last.decision IS NOT NULL) = %(decided)s)
ORDER BY dead.received_at, dead.partition, dead."offset" LIMIT %(limit)s;

-- name: find_end_of_look
-- The last of so many dead letters that were looked at; no row when there are not so many.
SELECT received_at, partition, "offset" FROM dead_letter
WHERE topic = %(topic)s AND received_at >= %(since)s AND received_at < %(until)s
  AND (received_at, partition, "offset")
      > (%(after_received_at)s, %(after_partition)s::integer, %(after_offset)s::bigint)
ORDER BY received_at, partition, "offset" OFFSET %(looks_max)s::bigint - 1 LIMIT 1;

-- name: find_dead_letter
-- The dead letter at a position, with the last decision about it and the record as it came.
SELECT dead.partition, dead."offset", dead.operation_id::text, dead.reason, dead.received_at,
       last.decision, last.reason, last.new_partition, last.new_offset, last.decided_by,
       last.decided_at,
       dead.key, dead.value, dead.header_names, dead.header_values, dead.timestamp_ms
FROM dead_letter AS dead
LEFT JOIN LATERAL (
    SELECT * FROM ostatok_service.dead_letter_decision AS made
    WHERE made.topic = dead.topic AND made.partition = dead.partition
      AND made."offset" = dead."offset"
    ORDER BY id DESC LIMIT 1
) AS last ON true
WHERE dead.topic = %(topic)s AND dead.partition = %(partition)s AND dead."offset" = %(offset)s;

-- name: read_dead_letter
-- The record of a dead letter, as it came.
SELECT key, value, header_names, header_values, timestamp_ms FROM dead_letter
WHERE topic = %(topic)s AND partition = %(partition)s AND "offset" = %(offset)s;

-- name: read_decisions
-- Everything that was decided about a dead letter, the earliest first.
SELECT decision, reason, new_partition, new_offset, decided_by, decided_at
FROM ostatok_service.dead_letter_decision
WHERE topic = %(topic)s AND partition = %(partition)s AND "offset" = %(offset)s ORDER BY id;

-- name: lock_dead_letter
-- Lets one session at a time decide about a dead letter, until its transaction ends. Locks no table
-- and no row: between this and the end lies a wait for Kafka.
SELECT pg_advisory_xact_lock(hashtextextended(
    %(topic)s::text || ' ' || %(partition)s::integer || ':' || %(offset)s::bigint, 0));

-- name: record_decision
-- Keeps what was decided about a dead letter; an earlier decision stays too.
INSERT INTO ostatok_service.dead_letter_decision
       (topic, partition, "offset", decision, reason, new_partition, new_offset, decided_by)
VALUES (%(topic)s, %(partition)s, %(offset)s, %(decision)s, %(reason)s, %(new_partition)s,
        %(new_offset)s, %(decided_by)s);

-- name: count_undecided
-- How many dead letters nobody has decided about, and for how many seconds the oldest has waited.
-- It looks at each: 0.1 s at a hundred thousand.
SELECT count(*), coalesce(greatest(extract(epoch FROM now() - min(received_at)), 0), 0)::float8
FROM dead_letter AS dead
WHERE dead.topic = %(topic)s AND NOT EXISTS (
    SELECT FROM ostatok_service.dead_letter_decision AS made
    WHERE made.topic = dead.topic AND made.partition = dead.partition
      AND made."offset" = dead."offset");
