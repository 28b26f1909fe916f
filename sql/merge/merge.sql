-- Merge staged trips of one month of pickup into the trips table, each once. The month's bounds are
-- constants, so that PostgreSQL reads this month's partition and no other. Where most rows are new,
-- they are inserted in the order of the primary key, so that its index grows at one end.
MERGE INTO {{ trips | identifier }} AS trip
USING (
    SELECT *
    FROM {{ source | identifier }}
    WHERE
        pickup_datetime >= {{ start | value }}
        AND pickup_datetime < {{ stop | value }}
    {% if are_new %}
    ORDER BY unique_row_id
    {% endif %}
) AS staged
    ON
        trip.unique_row_id = staged.unique_row_id
        AND trip.pickup_datetime = staged.pickup_datetime
        AND trip.pickup_datetime >= {{ start | value }}
        AND trip.pickup_datetime < {{ stop | value }}
WHEN NOT MATCHED THEN
    INSERT (
        unique_row_id,
        filename,
        {% for name in names %}
        {{ name | identifier }}{{ "," if not loop.last }}
        {% endfor %}
    )
    VALUES (
        staged.unique_row_id,
        staged.filename,
        {% for name in names %}
        staged.{{ name | identifier }}{{ "," if not loop.last }}
        {% endfor %}
    );
