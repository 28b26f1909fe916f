-- Create the view of a table for analysts: the sums over all files.
CREATE OR REPLACE VIEW {{ view | identifier }} AS
SELECT -- noqa: disable=LT02,LT05
    taxi_type,
    {% for key in feature["keys"] %}
    {{ key.name | identifier }},
    {% endfor %}
    {% for sum in feature.sums %}
    {% if sum.is_amount %}
    round(sum({{ sum.name | identifier }}) / 100, 2) AS {{ sum.name | identifier }}{{ "," if not loop.last }}
    {% else %}
    sum({{ sum.name | identifier }})::bigint AS {{ sum.name | identifier }}{{ "," if not loop.last }}
    {% endif %}
    {% endfor %}
FROM {{ by_file | identifier }}
WHERE
    {% for taxi_type, trips in services %}
    {{ "OR " if not loop.first }}(
        taxi_type = {{ taxi_type | value }} AND trips_table = {{ trips | value }}
    )
    {% endfor %}
GROUP BY taxi_type{% for key in feature["keys"] %}, {{ key.name | identifier }}{% endfor %};

COMMENT ON VIEW {{ view | identifier }} IS {{ feature.comment | value }};
COMMENT ON COLUMN {{ view | identifier }}.taxi_type IS 'TLC service, such as green';
{% for key in feature["keys"] %}
COMMENT ON COLUMN {{ view | identifier }}.{{ key.name | identifier }} IS {{ key.comment | value }};
{% endfor %}
{% for sum in feature.sums %}
COMMENT ON COLUMN {{ view | identifier }}.{{ sum.name | identifier }}
IS {{ sum.described | value }};
{% endfor %}
