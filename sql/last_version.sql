-- The version of luigi_tasks that loaded last.
SELECT package_version
FROM {{ ledger | identifier }}
ORDER BY load_id DESC
LIMIT 1;
