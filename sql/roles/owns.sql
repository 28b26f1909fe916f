-- Return whether this role may do with a table what its owner may.
SELECT pg_has_role(relowner, 'USAGE') AS is_owner
FROM pg_class
WHERE oid = to_regclass({{ table | identifier | value }});
