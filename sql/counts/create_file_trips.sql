-- Have the trips of a month's file in a view while they are counted. They are looked for in the
-- file's months of pickup; those of the month itself may still be in the staging table.
CREATE TEMPORARY VIEW file_trips AS
{% for relation, pickups in parts %}
{{ "UNION ALL" if not loop.first }}
SELECT -- noqa: disable=LT02
    filename,
    {% for name in names %}
    {{ name | identifier }}{{ "," if not loop.last }}
    {% endfor %}
FROM {{ relation | identifier }}
WHERE
    filename = {{ filename | value }}
    AND pickup_datetime >= {{ pickups.start | value }}
    AND pickup_datetime < {{ pickups.stop | value }}{{ ";" if loop.last }}
{% endfor %}
