-- Take what was counted of a file's trips, by hour and by month and zone, while they were copied.
CREATE TEMPORARY TABLE pg_temp.by_hour ON COMMIT DROP AS
SELECT * FROM unnest( -- noqa: disable=LT02
    {{ counts.by_hour.pickup_hour | value }}::timestamp[],
    {% for sum in hour_sums %}
    {{ counts.by_hour[sum.name] | value }}::bigint[]{{ "," if not loop.last }}
    {% endfor %}
) AS counted (
    pickup_hour,
    {% for sum in hour_sums %}
    {{ sum.name | identifier }}{{ "," if not loop.last }}
    {% endfor %}
);

CREATE TEMPORARY TABLE pg_temp.by_zone ON COMMIT DROP AS
SELECT * FROM unnest(
    {{ counts.by_zone.month | value }}::date[],
    {{ counts.by_zone.location_id | value }}::integer[],
    {% for sum in zone_sums %}
    {{ counts.by_zone[sum.name] | value }}::bigint[]{{ "," if not loop.last }}
    {% endfor %}
) AS counted (
    month,
    location_id,
    {% for sum in zone_sums %}
    {{ sum.name | identifier }}{{ "," if not loop.last }}
    {% endfor %}
);
