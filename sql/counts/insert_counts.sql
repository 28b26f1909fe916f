-- Insert what a month's file adds to a table for analysts.
INSERT INTO {{ by_file | identifier }} ( -- noqa: disable=LT02
    trips_table,
    taxi_type,
    file_month,
    {% for name in names %}
    {{ name | identifier }}{{ "," if not loop.last }}
    {% endfor %}
)
SELECT
    {{ trips | join('.') | value }},
    {{ taxi_type | value }},
    {{ month | value }},
    {% for name in names %}
    counted.{{ name | identifier }}{{ "," if not loop.last }}
    {% endfor %}
FROM (
{{ query }}
) AS counted;
