-- Those of the markers that are set, as long as the table exists.
SELECT update_id
FROM {{ marker_table | identifier }}
WHERE
    update_id = ANY({{ update_ids | value }}::text[])
    AND to_regclass({{ derived | identifier | value }}) IS NOT NULL;
