-- The trips of all taxi types, by the columns that more than one of them has.
CREATE OR REPLACE VIEW {{ trips_view | identifier }} AS
{% for taxi_type, view, names in views %}
{{ "UNION ALL" if not loop.first }}
SELECT -- noqa: disable=LT02
    {{ taxi_type | value }}::text AS taxi_type,
    unique_row_id,
    filename,
    {% for name, type, comment in viewed %}
    {% set value = name | identifier if name in names else "NULL" %}
    {{ value }}::{{ type }} AS {{ name | identifier }}{{ "," if not loop.last }}
    {% endfor %}
FROM {{ view | identifier }}{{ ";" if loop.last }}
{% endfor %}

COMMENT ON VIEW {{ trips_view | identifier }} IS {{ comment | value }};
COMMENT ON COLUMN {{ trips_view | identifier }}.taxi_type IS 'TLC service, such as green';
COMMENT ON COLUMN {{ trips_view | identifier }}.unique_row_id IS 'Fingerprint of the trip';
COMMENT ON COLUMN {{ trips_view | identifier }}.filename IS 'Published file that the trip came in';
{% for name, type, comment in viewed %}
COMMENT ON COLUMN {{ trips_view | identifier }}.{{ name | identifier }} IS {{ comment | value }};
{% endfor %}
