-- Compare the staged trips of a file with those that the trips table has of it, in all columns and
-- to the last bit: count those that are missing, that no trip of the file is, and that differ.
SELECT -- noqa: disable=LT02
    count(*) FILTER (WHERE trip.unique_row_id IS NULL) AS missing,
    count(*) FILTER (WHERE staged.unique_row_id IS NULL) AS extra,
    count(*) FILTER (
        WHERE
            trip.unique_row_id = staged.unique_row_id
            AND NOT record_image_eq(
                row(
                    {% for name in names %}
                    staged.{{ name | identifier }},
                    {% endfor %}
                    staged.pickup_datetime
                ),
                row(
                    {% for name in names %}
                    trip.{{ name | identifier }},
                    {% endfor %}
                    trip.pickup_datetime
                )
            )
    ) AS changed
FROM {{ staging | identifier }} AS staged
FULL JOIN (
    SELECT *
    FROM {{ trips | identifier }}
    WHERE
        filename = {{ filename | value }}
        AND (
            FALSE
            {% for pickup in pickups %}
            OR (
                pickup_datetime >= {{ pickup.start | value }}
                AND pickup_datetime < {{ pickup.stop | value }}
            )
            {% endfor %}
        )
) AS trip
    ON staged.unique_row_id = trip.unique_row_id;
