-- Return a row if a month has a marker, or trips in its own month of pickup.
SELECT TRUE AS is_there
WHERE
    EXISTS (
        SELECT
        FROM {{ marker_table | identifier }}
        WHERE update_id = ANY({{ update_ids | value }}::text[])
    )
    OR EXISTS (
        SELECT
        FROM {{ trips | identifier }}
        WHERE
            filename = {{ filename | value }}
            AND pickup_datetime >= {{ start | value }}
            AND pickup_datetime < {{ stop | value }}
    );
