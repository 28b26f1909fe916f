-- Create a table for rows that may be in the staging table already.
CREATE TEMPORARY TABLE pg_temp.repeated ON COMMIT DROP AS
SELECT -- noqa: disable=LT02
    unique_row_id,
    {% for name in names %}
    {{ name | identifier }}{{ "," if not loop.last }}
    {% endfor %}
FROM {{ staging | identifier }}
WITH NO DATA;
