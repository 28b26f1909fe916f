-- Update the columns that the catalog doesn't know in trips that an earlier load of the file
-- brought: the fingerprint doesn't cover these columns.
UPDATE {{ trips | identifier }} AS trip
SET -- noqa: disable=LT02
    {% for name in new %}
    {{ name | identifier }} = staged.{{ name | identifier }}{{ "," if not loop.last }}
    {% endfor %}
FROM {{ staging | identifier }} AS staged
WHERE
    trip.unique_row_id = staged.unique_row_id
    AND trip.pickup_datetime = staged.pickup_datetime
    AND trip.filename = {{ filename | value }}
    AND trip.pickup_datetime >= {{ start | value }}
    AND trip.pickup_datetime < {{ stop | value }}
    AND (
        {% for name in new %}
        {{ "OR " if not loop.first }}trip.{{ name | identifier }}
        IS DISTINCT FROM staged.{{ name | identifier }}
        {% endfor %}
    );
