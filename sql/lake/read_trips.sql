-- Send the trips of a month's file in PostgreSQL's binary format, in the order of their pickups; of
-- one moment, in that of their fingerprints, so that the same trips always make the same file.
COPY (
    SELECT -- noqa: disable=LT02
        {% for name, cast in sent.items() %}
        {{ name | identifier }}{{ "::text" if cast }}{{ "," if not loop.last }}
        {% endfor %}
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
    ORDER BY pickup_datetime, unique_row_id
) TO STDOUT WITH (FORMAT BINARY); -- noqa: PRS
