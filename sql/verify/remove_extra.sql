-- Delete trips of one month of pickup that have a file's name, and that no load of it brought.
DELETE FROM {{ trips | identifier }}
WHERE
    filename = {{ filename | value }}
    AND pickup_datetime >= {{ start | value }}
    AND pickup_datetime < {{ stop | value }}
    AND NOT unique_row_id = ANY({{ ids | value }}::uuid[]);
