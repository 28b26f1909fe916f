-- Count the trips of a file by hour of pickup, and by month and zone of pickup. Amounts are rounded
-- to whole hundredths one by one, as the client does it while it copies a file.
{% macro total(sum) %}
{% if sum.of is none %}
count(*)
{%- elif sum.of not in names %}
NULL::bigint
{%- elif sum.is_amount %}
sum(
        CASE
            WHEN abs({{ sum.of | identifier }}) < {{ limit }}
                THEN round({{ sum.of | identifier }} * 100)::bigint
        END
    )::bigint
{%- else %}
sum({{ sum.of | identifier }})::bigint
{%- endif %}
{% endmacro %}
CREATE TEMPORARY TABLE pg_temp.by_hour ON COMMIT DROP AS
SELECT -- noqa: disable=LT02,LT05,LT01
    date_trunc('hour', pickup_datetime) AS pickup_hour,
    {% for sum in hour_sums %}
    {{ total(sum) }} AS {{ sum.name | identifier }}{{ "," if not loop.last }}
    {% endfor %}
FROM pg_temp.file_trips
GROUP BY pickup_hour;

CREATE TEMPORARY TABLE pg_temp.by_zone ON COMMIT DROP AS
SELECT
    date_trunc('month', pickup_datetime)::date AS month,
    pickup_location_id AS location_id,
    {% for sum in zone_sums %}
    {{ total(sum) }} AS {{ sum.name | identifier }}{{ "," if not loop.last }}
    {% endfor %}
FROM pg_temp.file_trips
GROUP BY month, location_id;
