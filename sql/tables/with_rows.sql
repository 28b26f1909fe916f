-- Select the trips tables that have rows.
SELECT found.relation
FROM (
    {% for trips in tables %}
    {{ "UNION ALL" if not loop.first }}
    SELECT
        {{ trips | identifier | value }} AS relation,
        EXISTS(
            SELECT
            FROM {{ trips | identifier }}
        ) AS has_rows
    {% endfor %}
) AS found
WHERE found.has_rows;
