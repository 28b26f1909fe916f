-- Count the taxi zones.
SELECT count(*) AS row_count
FROM {{ zones_table | identifier }};
