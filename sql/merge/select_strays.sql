-- Copy the rows whose pickup lies outside the month: a handful, to be merged month by month. If
-- they are few, it is known where they are.
CREATE TEMPORARY TABLE pg_temp.strays ON COMMIT DROP AS
SELECT -- noqa: disable=LT02
    ctid AS place,
    unique_row_id,
    filename,
    {% for name in names %}
    {{ name | identifier }}{{ "," if not loop.last }}
    {% endfor %}
FROM {{ staging | identifier }}
WHERE
    {% if places %}
    ctid = ANY({{ places | value }}::tid[]);
    {% else %}
    pickup_datetime < {{ start | value }} OR pickup_datetime >= {{ stop | value }};
    {% endif %}

ANALYZE pg_temp.strays;
