-- Read the description that the marker of a staging table promises, and whether the table has rows.
SELECT
    obj_description({{ staging | identifier | value }}::regclass, 'pg_class') AS description,
    EXISTS(
        SELECT
        FROM {{ staging | identifier }}
    ) AS has_rows
FROM {{ marker_table | identifier }}
WHERE update_id = {{ update_id | value }};
