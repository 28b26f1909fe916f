-- Generate the statements that give tables and views the owner, options and grants that they have
-- now.
WITH present AS (
    SELECT
        wanted.relation,
        pg_class.*
    FROM unnest({{ relations | value }}::text[]) AS wanted (relation)
    INNER JOIN pg_class ON pg_class.oid = to_regclass(wanted.relation)
),

granted AS (
    SELECT
        present.relation,
        present.relowner,
        NULL AS column_name,
        whole.*
    FROM present
    CROSS JOIN LATERAL aclexplode(present.relacl) AS whole
    UNION ALL
    SELECT
        present.relation,
        present.relowner,
        named.attname AS column_name,
        part.*
    FROM present
    INNER JOIN pg_attribute AS named ON present.oid = named.attrelid
    CROSS JOIN LATERAL aclexplode(named.attacl) AS part
)

SELECT
    format('ALTER TABLE %s OWNER TO %I', relation, pg_get_userbyid(relowner)) AS statement,
    relation,
    NULL AS column_name
FROM present
UNION ALL
SELECT
    format('ALTER VIEW %s SET (%s)', relation, array_to_string(reloptions, ', ')) AS statement,
    relation,
    NULL AS column_name
FROM present
WHERE relkind = 'v' AND reloptions IS NOT NULL
UNION ALL
SELECT
    format(
        'GRANT %s%s ON %s TO %s%s',
        granted.privilege_type,
        ' (' || quote_ident(granted.column_name) || ')',
        granted.relation,
        coalesce(quote_ident(grantee.rolname), 'PUBLIC'),
        CASE WHEN granted.is_grantable THEN ' WITH GRANT OPTION' END
    ) AS statement,
    granted.relation,
    granted.column_name
FROM granted
LEFT JOIN pg_roles AS grantee ON granted.grantee = grantee.oid
WHERE granted.grantee <> granted.relowner;
