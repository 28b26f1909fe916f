-- A month's rows of a user's own table, made anew by the user's query.
DELETE FROM {{ derived | identifier }}
WHERE taxi_type = {{ taxi_type | value }} AND month = {{ month | value }};

INSERT INTO {{ derived | identifier }} (
    taxi_type,
    month,
    {% for name in names %}
    {{ name | identifier }}{{ "," if not loop.last }}
    {% endfor %}
)
SELECT
    {{ taxi_type | value }},
    {{ month | value }},
    derived.*
FROM (
    {{ query }}
) AS derived;
