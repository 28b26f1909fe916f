-- Delete a file's trips that its staged edition doesn't have; of those with a fingerprint that it
-- has, also what isn't exactly so in every compared column, to the last bit.
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
            {% if compared %}
            AND record_image_eq(
                row(
                    {% for name in compared %}
                    staged.{{ name | identifier }}{{ "," if not loop.last }}
                    {% endfor %}
                ),
                row(
                    {% for name in compared %}
                    trip.{{ name | identifier }}{{ "," if not loop.last }}
                    {% endfor %}
                )
            )
            {% endif %}
    );
