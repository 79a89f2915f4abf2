-- What was denied and what was done, and by whom.

-- name: add_to_trail
-- Keeps one row.
INSERT INTO ostatok_service.trail
       (kind, action, who, client, about, reason, request_id, times, first_at, last_at)
VALUES (%(kind)s, %(action)s, %(who)s, %(client)s, %(about)s, %(reason)s, %(request_id)s, %(times)s,
        %(first_at)s, %(last_at)s);

-- name: read_trail
-- Some of it, the latest first: before a row, or from the end.
SELECT id, kind, action, who, client, about, reason, request_id, times, first_at, last_at
FROM ostatok_service.trail
WHERE (%(before)s::bigint IS NULL OR id < %(before)s)
  AND (%(since)s::timestamptz IS NULL OR last_at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR last_at < %(until)s)
  AND (%(kind)s::text IS NULL OR kind = %(kind)s)
  AND (%(action)s::text IS NULL OR action = %(action)s)
  AND (%(who)s::text IS NULL OR strpos(lower(who), lower(%(who)s)) > 0)
ORDER BY id DESC LIMIT %(limit)s;
