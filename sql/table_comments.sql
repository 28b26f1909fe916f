-- The comments of tables that are there, and whether they have rows.
{% for trips in tables %}
{{ "UNION ALL" if not loop.first }}
SELECT
    {{ trips | identifier | value }} AS relation,
    obj_description({{ trips | identifier | value }}::regclass, 'pg_class') AS comment,
    EXISTS(
        SELECT
        FROM {{ trips | identifier }}
    ) AS has_rows
{% endfor %}
