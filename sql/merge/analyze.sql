-- Gather statistics of a table, without waiting for whoever changes it. A sample of a quarter of
-- the usual size takes a fifth of the time; a size that somebody has set holds.
SELECT set_config('default_statistics_target', '25', TRUE)
FROM pg_settings
WHERE name = 'default_statistics_target' AND source = 'default';

{% if is_owner %}
ANALYZE (SKIP_LOCKED) {{ "ONLY " if is_only }}{{ table | identifier }}; -- noqa: PRS
{% else %}
SELECT {{ analyze_function | identifier }}(
    {{ table | identifier | value }}::regclass, {{ is_only | value }}
);
{% endif %}
