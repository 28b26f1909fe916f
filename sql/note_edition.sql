-- The bytes of a month's last load have been published once more, as another edition.
UPDATE load_history
SET
    etag = {{ etag | value }},
    last_modified = {{ last_modified | value }}
WHERE load_id = (
    SELECT load_id
    FROM load_history
    WHERE
        taxi_type = {{ taxi_type | value }}
        AND month = {{ month | value }}
        AND trips_table = {{ trips | join('.') | value }}
    ORDER BY load_id DESC
    LIMIT 1
);
