-- What operators ran, with what came of it.

-- name: begin_run
-- Notes that a command has begun, and gives the run's number.
INSERT INTO ostatok_service.operator_run (topic, schema, command, arguments, run_by, host)
VALUES (%(topic)s, %(schema)s, %(command)s, %(arguments)s::jsonb, %(run_by)s, %(host)s)
RETURNING id;

-- name: hold_run
-- Shows that a run is under way, for as long as this session lives. Nobody else asks for this lock.
SELECT pg_advisory_lock(%(key)s::integer, %(id)s::integer);

-- name: drop_old_runs
-- Drops the runs of this command, on this ledger, beyond the last 1,000: see service.sql.
SELECT ostatok_service.drop_old_runs(%(topic)s, %(schema)s, %(command)s);

-- name: end_run
-- Notes how a run ended.
SELECT ostatok_service.end_run(%(id)s, %(exit_status)s, %(result)s::jsonb);

-- name: read_last_runs
-- The last run of each of the commands on this ledger, the latest first; with whether it is under
-- way: then the session that began it holds its lock.
WITH held AS MATERIALIZED (
    SELECT objid::bigint AS id FROM pg_locks
    WHERE locktype = 'advisory' AND objsubid = 2 AND classid = %(key)s::integer::oid
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
)
SELECT last.id, last.command, last.arguments, last.run_by, last.host, last.started_at,
       last.ended_at, last.exit_status, last.result,
       last.ended_at IS NULL AND last.id IN (SELECT id FROM held)
FROM unnest(%(commands)s::text[]) AS wanted (command)
CROSS JOIN LATERAL (
    SELECT * FROM ostatok_service.operator_run AS run
    WHERE run.topic = %(topic)s AND run.schema = %(schema)s AND run.command = wanted.command
    ORDER BY run.id DESC LIMIT 1
) AS last
ORDER BY last.id DESC;

-- name: read_recent_runs
-- The same of the last runs on this ledger, whatever their command.
WITH held AS MATERIALIZED (
    SELECT objid::bigint AS id FROM pg_locks
    WHERE locktype = 'advisory' AND objsubid = 2 AND classid = %(key)s::integer::oid
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
)
SELECT run.id, run.command, run.arguments, run.run_by, run.host, run.started_at, run.ended_at,
       run.exit_status, run.result, run.ended_at IS NULL AND run.id IN (SELECT id FROM held)
FROM ostatok_service.operator_run AS run
WHERE run.topic = %(topic)s AND run.schema = %(schema)s
ORDER BY run.id DESC LIMIT %(limit)s;
