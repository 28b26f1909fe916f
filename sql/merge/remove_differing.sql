-- Delete a file's trips that its staged edition doesn't have exactly so, in every column and to the
-- last bit: somebody has added or changed them.
DELETE FROM {{ table | identifier }} AS trip
WHERE -- noqa: disable=LT02
    trip.filename = {{ filename | value }}
    AND trip.pickup_datetime >= {{ start | value }}
    AND trip.pickup_datetime < {{ stop | value }}
    AND NOT EXISTS (
        SELECT
        FROM {{ staging | identifier }} AS staged
        WHERE
            staged.unique_row_id = trip.unique_row_id
            AND staged.pickup_datetime = trip.pickup_datetime
            AND record_image_eq(
                row(
                    {% for name in names %}
                    staged.{{ name | identifier }}{{ "," if not loop.last }}
                    {% endfor %}
                ),
                row(
                    {% for name in names %}
                    trip.{{ name | identifier }}{{ "," if not loop.last }}
                    {% endfor %}
                )
            )
    );
