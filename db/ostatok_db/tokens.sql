-- Tokens of the API's readers and operators.

-- name: lock_tokens
-- Lets one session at a time make a token, until its transaction ends: it counts before it adds.
SELECT pg_advisory_xact_lock(hashtextextended('ostatok_service.token', 0));

-- name: retire_expired_token
-- Gives the name of a token that has expired to the next one.
UPDATE ostatok_service.token SET revoked_at = expires_at
WHERE name = %(name)s AND revoked_at IS NULL AND expires_at <= now();

-- name: find_live_token
-- Who has this name, and how many tokens and INNs of tokens there are that work.
SELECT max(id) FILTER (WHERE name = %(name)s), count(*), coalesce(sum(cardinality(inns)), 0)
FROM ostatok_service.token
WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now());

-- name: add_token
-- Keeps a token: what it allows, and its hash.
INSERT INTO ostatok_service.token (id, name, hash, scopes, inns, created_by, expires_at)
VALUES (%(id)s, %(name)s, %(hash)s, %(scopes)s, %(inns)s, %(created_by)s, %(expires_at)s);

-- name: revoke_token
-- Ends a token that was not revoked before, and gives its name.
UPDATE ostatok_service.token SET revoked_at = now()
WHERE id = %(id)s AND revoked_at IS NULL RETURNING name;

-- name: list_tokens
-- Tokens, the first made first; only those that work, or all.
SELECT id, name, scopes, inns, created_at, created_by, expires_at, revoked_at, last_used_at
FROM ostatok_service.token
WHERE %(all)s::boolean OR (revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now()))
ORDER BY created_at, id;

-- name: load_tokens
-- Those that work, when they are other ones than those that are known: a token never changes, so
-- the ids are enough to tell. One row with the digest of the ids at the least.
WITH live AS (
    SELECT * FROM ostatok_service.token
    WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
), ids AS (
    SELECT encode(sha256(convert_to(coalesce(string_agg(id, ',' ORDER BY id), ''), 'UTF8')), 'hex')
           AS digest
    FROM live
)
SELECT ids.digest, live.id, live.name, live.hash, live.scopes, live.inns,
       extract(epoch FROM live.expires_at)::float8
FROM ids LEFT JOIN live ON ids.digest <> %(known)s;

-- name: note_token_use
-- Keeps when tokens were last used, in the order of their ids, so that two who do it do not lock
-- each other out; not more than once a minute.
UPDATE ostatok_service.token SET last_used_at = used.at
FROM (
    SELECT id, at FROM unnest(%(ids)s::text[], %(at)s::timestamptz[]) AS used (id, at)
    JOIN ostatok_service.token USING (id)
    WHERE last_used_at IS NULL OR last_used_at < at - interval '1 minute'
    ORDER BY id FOR NO KEY UPDATE OF token
) AS used
WHERE token.id = used.id;
