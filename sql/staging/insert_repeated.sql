-- Insert rows that only looked as if they were in the staging table; of rows that are alike, the
-- first.
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
ON CONFLICT (unique_row_id, pickup_datetime) DO NOTHING;
