-- Count the rows of a staging table.
SELECT count(*) AS row_count
FROM {{ staging | identifier }};
