-- Return a row if the zones of a source are loaded.
SELECT TRUE AS are_there
FROM {{ marker_table | identifier }}
WHERE
    update_id = {{ update_id | value }}
    AND EXISTS (
        SELECT
        FROM {{ zones_table | identifier }}
    );
