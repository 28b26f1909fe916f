-- Let a loader gather statistics of trips tables and their partitions, which only an owner may.
CREATE OR REPLACE FUNCTION {{ analyze_function | identifier }}(
    analyzed regclass, is_only boolean
) RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
    IF NOT EXISTS (
        SELECT
        FROM pg_class
        INNER JOIN pg_namespace ON pg_class.relnamespace = pg_namespace.oid
        WHERE
            pg_class.oid IN (
                analyzed, (SELECT inhparent FROM pg_inherits WHERE inhrelid = analyzed)
            )
            AND (pg_namespace.nspname, pg_class.relname) IN (
                {% for each in own_trips %}
                ({{ each[0] | value }}, {{ each[1] | value }}){{ "," if not loop.last }}
                {% endfor %}
            )
    ) THEN
        RAISE EXCEPTION '% is no table of trips', analyzed;
    END IF;
    EXECUTE format(
        'ANALYZE (SKIP_LOCKED) %s %s', CASE WHEN is_only THEN 'ONLY' END, analyzed
    );
END;
$body$;
