-- A taxi type's trips with names beside the codes. A query that doesn't select a name doesn't look
-- it up: each join is by a primary key, so PostgreSQL leaves it out.
CREATE OR REPLACE VIEW {{ view | identifier }} AS
SELECT -- noqa: disable=LT02,LT05
    trip.unique_row_id,
    trip.filename,
    {% for column in columns %}
    trip.{{ column.name | identifier }},
    {% endfor %}
    {% for lookup in lookups %}
    {{ lookup.table | identifier }}.name AS {{ lookup.shown | identifier }},
    {% endfor %}
    pickup.borough AS pickup_borough,
    pickup.zone AS pickup_zone,
    dropoff.borough AS dropoff_borough,
    dropoff.zone AS dropoff_zone{{ "," if new }}
    {% for name in new %}
    trip.{{ name | identifier }}{{ "," if not loop.last }}
    {% endfor %}
FROM {{ trips | identifier }} AS trip
{% for each in lookups %}
LEFT JOIN {{ (schema, each.table) | identifier }} AS {{ each.table | identifier }}
    ON trip.{{ each.column | identifier }} = {{ each.table | identifier }}.{{ each.column | identifier }}
{% endfor %}
LEFT JOIN {{ zones_table | identifier }} AS pickup ON trip.pickup_location_id = pickup.location_id
LEFT JOIN {{ zones_table | identifier }} AS dropoff ON trip.dropoff_location_id = dropoff.location_id;

COMMENT ON VIEW {{ view | identifier }} IS {{ comment | value }};
COMMENT ON COLUMN {{ view | identifier }}.unique_row_id IS 'Fingerprint of the trip';
COMMENT ON COLUMN {{ view | identifier }}.filename IS 'Published file that the trip came in';
{% for column in columns %}
COMMENT ON COLUMN {{ view | identifier }}.{{ column.name | identifier }}
IS {{ column.comment | value }};
{% endfor %}
{% for name, comment in shown.items() %}
COMMENT ON COLUMN {{ view | identifier }}.{{ name | identifier }} IS {{ comment | value }};
{% endfor %}
{% for name in new %}
COMMENT ON COLUMN {{ view | identifier }}.{{ name | identifier }}
IS 'Came with a published file; the catalog doesn''t know it';
{% endfor %}
