-- Whether a role is there.
SELECT TRUE AS is_there
FROM pg_roles
WHERE rolname = {{ role | value }};
