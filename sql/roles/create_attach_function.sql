-- Let a loader attach a month that it has staged, without the right to alter the trips table. The
-- table changes its owner, so nothing of the loader's may run later by the owner's rights: no
-- trigger, rule, policy, or expression that the trips table hasn't got.
CREATE OR REPLACE FUNCTION {{ attach_function | identifier }}(
    trips regclass, month date, staged regclass
) RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    odd text;
    partition_name text;
    trips_schema text;
BEGIN
    SELECT pg_namespace.nspname INTO trips_schema
    FROM pg_class
    INNER JOIN pg_namespace ON pg_class.relnamespace = pg_namespace.oid
    WHERE
        pg_class.oid = trips
        AND (pg_namespace.nspname, pg_class.relname) IN (
            {% for each in own_trips %}
            ({{ each[0] | value }}, {{ each[1] | value }}){{ "," if not loop.last }}
            {% endfor %}
        );
    IF trips_schema IS NULL OR month <> date_trunc('month', month) THEN
        RAISE EXCEPTION '% of % is no month of a trips table', month, trips;
    END IF;
    IF NOT EXISTS (
        SELECT FROM pg_class
        WHERE oid = staged AND relkind = 'r' AND pg_has_role(session_user, relowner, 'USAGE')
    ) THEN
        RAISE EXCEPTION '% is no table of %', staged, session_user;
    END IF;
    EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', staged);
    SELECT found.what INTO odd
    FROM (
        SELECT 'a trigger' AS what FROM pg_trigger WHERE tgrelid = staged AND NOT tgisinternal
        UNION ALL
        SELECT 'a rule' FROM pg_rewrite WHERE ev_class = staged
        UNION ALL
        SELECT 'a policy' FROM pg_policy WHERE polrelid = staged
        UNION ALL
        SELECT 'statistics' FROM pg_statistic_ext WHERE stxrelid = staged
        UNION ALL
        SELECT 'grants' FROM pg_class, aclexplode(relacl) AS granted
        WHERE oid = staged AND granted.grantee <> relowner AND privilege_type <> 'SELECT'
        UNION ALL
        SELECT 'grants' FROM pg_attribute, aclexplode(attacl) AS granted
        WHERE attrelid = staged AND privilege_type <> 'SELECT'
        UNION ALL
        SELECT 'row level security' FROM pg_class WHERE oid = staged AND relrowsecurity
        UNION ALL
        SELECT 'another owner, or kind' FROM pg_class
        WHERE
            oid = staged
            AND NOT (relkind = 'r' AND pg_has_role(session_user, relowner, 'USAGE'))
        UNION ALL
        SELECT 'an expression' FROM pg_attrdef AS own
        INNER JOIN pg_attribute AS of_own
            ON own.adrelid = of_own.attrelid AND own.adnum = of_own.attnum
        WHERE
            own.adrelid = staged
            AND NOT EXISTS (
                SELECT FROM pg_attrdef AS parents
                INNER JOIN pg_attribute AS of_parents
                    ON
                        parents.adrelid = of_parents.attrelid
                        AND parents.adnum = of_parents.attnum
                WHERE
                    parents.adrelid = trips
                    AND of_parents.attname = of_own.attname
                    AND pg_get_expr(parents.adbin, parents.adrelid)
                    = pg_get_expr(own.adbin, own.adrelid)
            )
    ) AS found
    LIMIT 1;
    IF odd IS NOT NULL THEN
        RAISE EXCEPTION '% has %, and may not become a partition', staged, odd;
    END IF;

    SELECT format('%I.%I', trips_schema, relname) INTO partition_name
    FROM pg_class WHERE oid = staged;
    EXECUTE format('ALTER TABLE %s OWNER TO %I', staged, current_user);
    EXECUTE format('ALTER TABLE %s SET SCHEMA %I', staged, trips_schema);
    EXECUTE format(
        'ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM (%L) TO (%L)',
        trips, partition_name, month, month + interval '1 month'
    );
    EXECUTE format(
        'ALTER TABLE %s DROP CONSTRAINT IF EXISTS pickup_month', partition_name
    );
    IF EXISTS (
        SELECT FROM pg_constraint
        WHERE
            conrelid = staged
            AND CASE contype
                WHEN 'c' THEN coninhcount = 0
                WHEN 'n' THEN FALSE
                ELSE conparentid = 0
            END
        UNION ALL
        SELECT FROM pg_index
        WHERE
            indrelid = staged
            AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = indexrelid)
    ) THEN
        RAISE EXCEPTION '% has an index or a constraint that % lacks', staged, trips;
    END IF;
END;
$body$;
