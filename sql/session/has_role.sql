-- Return a row if a role exists.
SELECT TRUE AS is_there
FROM pg_roles
WHERE rolname = {{ role | value }};
