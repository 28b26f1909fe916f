-- Select what the roles' statements depend on: who asks and whether as a superuser, the database,
-- which of the roles and schemas don't exist, whether the owner has yet to become a member of the
-- loader, and what not everybody may do in the database.
SELECT
    current_user AS owner,
    current_setting('is_superuser')::boolean AS is_superuser,
    current_database() AS database,
    ARRAY(
        SELECT wanted.role
        FROM unnest({{ roles | value }}::text[]) AS wanted (role)
        WHERE wanted.role NOT IN (SELECT pg_roles.rolname FROM pg_roles)
        UNION ALL
        SELECT wanted.schema
        FROM unnest({{ schemas | value }}::text[]) AS wanted (schema)
        WHERE to_regnamespace(quote_ident(wanted.schema)) IS NULL
    ) AS missing,
    NOT coalesce(
        (
            SELECT pg_has_role(pg_roles.oid, 'USAGE')
            FROM pg_roles
            WHERE pg_roles.rolname = {{ loader | value }}
        ), FALSE
    ) AS must_join,
    ARRAY(
        SELECT wanted.privilege
        FROM unnest(ARRAY['CONNECT', 'TEMPORARY']) AS wanted (privilege)
        WHERE NOT has_database_privilege('public', current_database(), wanted.privilege)
    ) AS database_privileges;
