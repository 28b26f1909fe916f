-- The trips of a month's file, for a user's own statements in the same transaction. Names without a
-- schema are looked up in the warehouse's.
DROP VIEW IF EXISTS {{ month_trips | identifier }};
CREATE TEMPORARY VIEW {{ month_trips[1] | identifier }} AS
SELECT *
FROM {{ view | identifier }}
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
    );

SET LOCAL search_path = {{ schema | identifier }}, public;
