-- Read how far the warehouse is, and the newest package that looked after it.
SELECT
    migration,
    package
FROM {{ version_table | identifier }};
