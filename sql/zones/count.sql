-- How many taxi zones there are.
SELECT count(*) AS row_count
FROM {{ zones_table | identifier }};
