-- The rights of roles on the ledger, on what operators leave, and on the database.

-- name: read_known_roles
-- Those of some roles that there are, each with whether it is the session's own, and whether it
-- can become it: as a member, or as a superuser.
SELECT rolname, rolname = current_user, pg_has_role(oid, current_user, 'MEMBER')
FROM pg_roles WHERE rolname = ANY(%(roles)s);

-- name: read_session_role
-- Who owns what this session makes.
SELECT current_user;

-- name: read_rights
-- Each of some schemas, and each table, view, sequence and routine in them that the session may
-- give rights on, as GRANT names it; with what some roles were given on it, a row for each role:
-- PUBLIC is ''. A right that may be handed on is called otherwise than any that ours have.
WITH thing AS (
    SELECT n.nspname AS schema, '' AS name, format('SCHEMA %%I', nspname) AS called,
           nspowner AS owner, coalesce(nspacl, acldefault('n', nspowner)) AS given,
           NULL::oid AS with_columns
    FROM pg_namespace AS n WHERE nspname = ANY(%(schemas)s)
    UNION ALL
    SELECT nspname, relname,
           format('%%s %%I.%%I', CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
                  nspname, relname),
           relowner,
           coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's'::"char" ELSE 'r' END,
                                       relowner)),
           c.oid
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace
    WHERE nspname = ANY(%(schemas)s) AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
    UNION ALL
    SELECT nspname, proname,
           format('ROUTINE %%I.%%I(%%s)', nspname, proname, pg_get_function_identity_arguments(p.oid)),
           proowner, coalesce(proacl, acldefault('f', proowner)), NULL
    FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = pronamespace
    WHERE nspname = ANY(%(schemas)s)
), held AS (
    SELECT called, (aclexplode(given)).* FROM thing
    UNION ALL
    SELECT called, grantor, grantee, format('%%s (%%I)', privilege_type, attname), is_grantable
    FROM thing JOIN pg_attribute ON attrelid = with_columns
    CROSS JOIN LATERAL aclexplode(attacl) WHERE attnum > 0
)
SELECT schema, name, called, role,
       ARRAY(SELECT privilege_type || CASE WHEN is_grantable THEN ', to hand on' ELSE '' END
             FROM held WHERE held.called = thing.called
             AND grantee = CASE role WHEN '' THEN 0 ELSE role::regrole::oid END)
FROM thing CROSS JOIN unnest(%(roles)s::text[]) AS role
WHERE pg_has_role(owner, 'USAGE') ORDER BY called, role;

-- name: read_excess
-- What a role may do besides, whoever it has that from, with tables of some schemas and the schemas
-- themselves: of what could change them.
WITH may AS (
    SELECT relnamespace::regnamespace::text || '.' || relname AS name, c.oid, privilege, NULL AS column
    FROM pg_class AS c, unnest('{DELETE,TRUNCATE,TRIGGER}'::text[]) AS privilege
    WHERE relnamespace = ANY(%(schemas)s::text[]::regnamespace[])
      AND relkind IN ('r', 'p', 'v', 'm', 'f') AND has_table_privilege(%(role)s, c.oid, privilege)
    UNION ALL
    SELECT relnamespace::regnamespace::text || '.' || relname, c.oid, privilege, attname
    FROM pg_class AS c JOIN pg_attribute ON attrelid = c.oid AND attnum > 0 AND NOT attisdropped
    CROSS JOIN unnest('{INSERT,UPDATE}'::text[]) AS privilege
    WHERE relnamespace = ANY(%(schemas)s::text[]::regnamespace[])
      AND relkind IN ('r', 'p', 'v', 'm', 'f')
      AND has_column_privilege(%(role)s, c.oid, attnum, privilege)
)
SELECT format('%%s on %%s', privilege, oid::regclass) FROM may
WHERE (name || ' ' || privilege) <> ALL(%(granted)s)
  AND (format('%%s %%s (%%I)', name, privilege, may.column)) <> ALL(%(granted)s)
UNION ALL
SELECT format('CREATE on schema %%s', schema)
FROM unnest(%(schemas)s::text[]::regnamespace[]) AS schema
WHERE has_schema_privilege(%(role)s, schema::oid, 'CREATE')
UNION ALL
SELECT 'CREATE on the database'
WHERE has_database_privilege(%(role)s, current_database(), 'CREATE')
ORDER BY 1 LIMIT 1;

-- name: read_database
-- The database's name, whether the session may give rights on it, and which of some rights a role
-- does not have on it.
SELECT datname, pg_has_role(datdba, 'USAGE'),
       ARRAY(SELECT wanted FROM unnest(%(wanted)s::text[]) AS wanted
             WHERE NOT has_database_privilege(%(role)s, oid, wanted))
FROM pg_database WHERE datname = current_database();

-- name: rights_to_carry
-- What others than its owner were given on a schema and all in it, as statements that give it on
-- what is called the same in another schema, where they don't have it.
WITH thing AS (
    SELECT nspname AS schema, 'SCHEMA' AS kind, '' AS name, '' AS columns, nspowner AS owner,
           nspacl AS given
    FROM pg_namespace
    UNION ALL
    SELECT nspname, CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
           format('.%%I', relname), '', relowner, relacl
    FROM pg_class JOIN pg_namespace AS n ON n.oid = relnamespace
    WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
    UNION ALL
    SELECT nspname, 'TABLE', format('.%%I', relname), format(' (%%I)', attname), relowner, attacl
    FROM pg_attribute JOIN pg_class AS c ON c.oid = attrelid
    JOIN pg_namespace AS n ON n.oid = relnamespace
    WHERE attnum > 0 AND NOT attisdropped
    UNION ALL
    SELECT nspname, 'ROUTINE',
           format('.%%I(%%s)', proname, pg_get_function_identity_arguments(p.oid)), '', proowner, proacl
    FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = pronamespace
), held AS (
    SELECT schema, kind, name, columns, grantee, privilege_type, is_grantable
    FROM thing CROSS JOIN LATERAL aclexplode(given)
    WHERE schema IN (%(live)s, %(second)s) AND grantee NOT IN (0, owner)
)
SELECT format('GRANT %%s%%s ON %%s %%I%%s TO %%s%%s', privilege_type, columns, kind, %(second)s, name,
              grantee::regrole, CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
FROM held WHERE schema = %(live)s
  AND EXISTS (SELECT FROM thing WHERE thing.schema = %(second)s
              AND (thing.kind, thing.name, thing.columns) = (held.kind, held.name, held.columns))
  AND NOT EXISTS (SELECT FROM held AS there WHERE there.schema = %(second)s
                  AND (there.kind, there.name, there.columns, there.grantee, there.privilege_type)
                    = (held.kind, held.name, held.columns, held.grantee, held.privilege_type)
                  AND there.is_grantable >= held.is_grantable)
ORDER BY 1;
