-- Insert rows that only looked as if they were in the staging table; of rows that are alike, the
-- first. Those that are inserted are returned, to be counted and summed up.
INSERT INTO {{ staging | identifier }} (
    unique_row_id,
    {% for name in names %}
    {{ name | identifier }}{{ "," if not loop.last }}
    {% endfor %}
)
SELECT -- noqa: disable=LT02
    unique_row_id,
    {% for name in names %}
    {{ name | identifier }}{{ "," if not loop.last }}
    {% endfor %}
FROM pg_temp.repeated
ON CONFLICT (unique_row_id, pickup_datetime) DO NOTHING
RETURNING -- noqa: disable=LT02
    unique_row_id,
    (extract(EPOCH FROM pickup_datetime) * 1000000)::bigint AS pickup,
    {% for name in counted %}
    {{ name | identifier }}{{ ";" if loop.last else "," }}
    {% endfor %}
