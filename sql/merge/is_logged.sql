-- Return whether a table survives a crash of the server.
SELECT relpersistence = 'p' AS is_logged
FROM pg_class
WHERE oid = {{ staging | identifier | value }}::regclass;
