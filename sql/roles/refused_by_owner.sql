-- Return who owns the ledger, if this role isn't a member of that, and whether this role may load
-- nevertheless. A session that may only read is refused whatever it owns.
SELECT
    current_user AS role,
    pg_get_userbyid(pg_class.relowner) AS owner,
    coalesce(
        has_function_privilege(
            to_regprocedure(
                {{ attach_function | identifier | value }} || '(regclass, date, regclass)'
            ),
            'EXECUTE'
        ), FALSE
    ) AS may_load
FROM pg_class
WHERE
    pg_class.oid = to_regclass({{ ledger | identifier | value }})
    AND NOT pg_has_role(pg_class.relowner, 'USAGE')
    AND current_setting('transaction_read_only') = 'off';
