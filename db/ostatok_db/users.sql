-- The console's users, who of them is logged in, and who guesses at their passwords.

-- name: create_user
-- Makes a user, unless the name is taken or there are as many users as there may be.
INSERT INTO ostatok_service.console_user (name, role, password_hash, created_by)
SELECT %(name)s, %(role)s, %(password_hash)s, %(by)s
WHERE (SELECT count(*) FROM ostatok_service.console_user) < %(users_max)s
ON CONFLICT (name) DO NOTHING RETURNING id;

-- name: list_users
-- All users by their names, each with the number of sessions that can still be used.
SELECT who.id, who.name, who.role, who.created_at, who.created_by, who.password_at,
       who.disabled_at, (
           SELECT count(*) FROM ostatok_service.console_session AS session
           WHERE session.user_id = who.id AND who.disabled_at IS NULL
             AND session.created_at > now() - make_interval(secs => %(session_seconds)s)
             AND session.seen_at > now() - make_interval(secs => %(idle_seconds)s))
FROM ostatok_service.console_user AS who ORDER BY who.name;

-- name: lock_user
-- Finds a user by name, and lets nobody else change him or begin a session of his meanwhile.
SELECT id FROM ostatok_service.console_user WHERE name = %(name)s FOR UPDATE;

-- name: set_password
-- Gives a user another password.
UPDATE ostatok_service.console_user SET password_hash = %(password_hash)s, password_at = now()
WHERE id = %(id)s;

-- name: set_role
-- Gives a user another role.
UPDATE ostatok_service.console_user SET role = %(role)s WHERE id = %(id)s;

-- name: disable_user
-- Lets a user log in no more; one who is disabled already stays so since then.
UPDATE ostatok_service.console_user SET disabled_at = coalesce(disabled_at, now())
WHERE id = %(id)s;

-- name: enable_user
-- Lets a user log in again.
UPDATE ostatok_service.console_user SET disabled_at = NULL WHERE id = %(id)s;

-- name: end_sessions
-- Ends all sessions of a user.
DELETE FROM ostatok_service.console_session WHERE user_id = %(id)s;

-- name: find_account
-- What a login is checked against; nothing for a name that nobody has.
SELECT id, name, role, password_hash, disabled_at IS NOT NULL
FROM ostatok_service.console_user WHERE name = %(name)s;

-- name: replace_hash
-- Keeps the same password in another form, unless it was changed meanwhile.
UPDATE ostatok_service.console_user SET password_hash = %(new)s
WHERE id = %(id)s AND password_hash = %(old)s;

-- name: lock_account
-- Holds a user still while a session of his begins: gives a row only when he may still log in, by
-- the password that was checked. FOR KEY SHARE would let his password change meanwhile.
SELECT id FROM ostatok_service.console_user
WHERE id = %(id)s AND disabled_at IS NULL AND password_hash = %(password_hash)s FOR SHARE;

-- name: begin_session
-- Keeps a session.
INSERT INTO ostatok_service.console_session (hash, user_id, client, browser)
VALUES (%(hash)s, %(id)s, %(client)s, %(browser)s);

-- name: drop_old_sessions
-- Drops what can't be used any more of all users, and of one user the oldest beyond those he may
-- have.
DELETE FROM ostatok_service.console_session
WHERE created_at <= now() - make_interval(secs => %(session_seconds)s)
   OR seen_at <= now() - make_interval(secs => %(idle_seconds)s)
   OR hash IN (
        SELECT hash FROM ostatok_service.console_session WHERE user_id = %(id)s
        ORDER BY created_at DESC, hash OFFSET %(sessions_max)s);

-- name: find_session
-- Whose session it is, if it can be used, and whether it is a while ago that it was.
SELECT who.id, who.name, who.role,
       session.seen_at < now() - make_interval(secs => %(touch_seconds)s)
FROM ostatok_service.console_session AS session
JOIN ostatok_service.console_user AS who ON who.id = session.user_id
WHERE session.hash = %(hash)s AND who.disabled_at IS NULL
  AND session.created_at > now() - make_interval(secs => %(session_seconds)s)
  AND session.seen_at > now() - make_interval(secs => %(idle_seconds)s);

-- name: touch_session
-- Notes that a session is in use.
UPDATE ostatok_service.console_session SET seen_at = now() WHERE hash = %(hash)s;

-- name: end_session
-- Ends one session.
DELETE FROM ostatok_service.console_session WHERE hash = %(hash)s;

-- name: list_sessions
-- The sessions of a user that can be used, the latest first, and whether each is a certain one.
SELECT hash = %(hash)s, client, browser, created_at, seen_at
FROM ostatok_service.console_session
WHERE user_id = %(id)s
  AND created_at > now() - make_interval(secs => %(session_seconds)s)
  AND seen_at > now() - make_interval(secs => %(idle_seconds)s)
ORDER BY created_at DESC, hash;

-- name: lock_failures
-- Finds the counts of some keys, in the keys' order, and lets nobody else count for them meanwhile.
-- A count of long ago is none. Who waited for the lock compares with the time at which he has it.
INSERT INTO ostatok_service.login_failure AS kept (key, failures, last_at, next_at)
SELECT key, 0, clock_timestamp(), clock_timestamp()
FROM unnest(%(keys)s::bytea[]) AS key ORDER BY key
ON CONFLICT (key) DO UPDATE SET failures = CASE
    WHEN kept.last_at < clock_timestamp() - make_interval(secs => %(kept_seconds)s) THEN 0
    ELSE kept.failures END
RETURNING key, failures, extract(epoch FROM next_at - clock_timestamp())::float8;

-- name: count_failures
-- Counts one more for each of the keys, and says after how many seconds the next may come.
UPDATE ostatok_service.login_failure AS kept
SET failures = kept.failures + 1, last_at = clock_timestamp(),
    next_at = clock_timestamp() + make_interval(secs => given.seconds)
FROM unnest(%(keys)s::bytea[], %(seconds)s::float8[]) AS given (key, seconds)
WHERE kept.key = given.key;

-- name: uncount_failures
-- Takes one back for each of the keys. When the next may come stays.
WITH found AS (
    SELECT key FROM ostatok_service.login_failure
    WHERE key = ANY(%(keys)s::bytea[]) ORDER BY key FOR UPDATE
)
UPDATE ostatok_service.login_failure SET failures = greatest(failures - 1, 0)
WHERE key IN (SELECT key FROM found);

-- name: forget_failures
-- Forgets the counts of some keys.
DELETE FROM ostatok_service.login_failure WHERE key = ANY(%(keys)s::bytea[]);

-- name: drop_old_failures
-- Drops counts of long ago, and the oldest beyond those that are kept.
DELETE FROM ostatok_service.login_failure
WHERE last_at < now() - make_interval(secs => %(kept_seconds)s) OR key IN (
    SELECT key FROM ostatok_service.login_failure
    ORDER BY last_at DESC, key OFFSET %(keys_max)s);
