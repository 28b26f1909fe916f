-- Move the month's trips out of the default partition, where they went while the month had none of
-- its own, into the table that becomes it.
WITH displaced AS (
    DELETE FROM {{ other | identifier }}
    WHERE
        pickup_datetime >= {{ start | value }}
        AND pickup_datetime < {{ stop | value }}
    RETURNING *
)

INSERT INTO {{ staging | identifier }} (
    {% for name in stored %}
    {{ name | identifier }}{{ "," if not loop.last }}
    {% endfor %}
)
SELECT -- noqa: disable=LT02
    {% for name in stored %}
    {{ name | identifier }}{{ "," if not loop.last }}
    {% endfor %}
FROM displaced;
