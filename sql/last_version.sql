-- The version of luigi_tasks that loaded last.
SELECT package_version
FROM load_history
ORDER BY load_id DESC
LIMIT 1;
