-- The versions of luigi_tasks that have loaded something.
SELECT DISTINCT package_version
FROM {{ ledger | identifier }};
