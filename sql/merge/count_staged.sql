-- How many rows a staging table has.
SELECT count(*) AS row_count
FROM {{ staging | identifier }};
