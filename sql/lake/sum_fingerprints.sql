-- Sum up the fingerprints of a month's file, in two halves of 64 bits, whatever the order of the
-- rows. The halves are signed here; luigi_tasks/checksums.py has them without a sign.
SELECT
    count(*) AS trips,
    sum(('x' || left(written.digits, 16))::bit(64)::bigint) AS upper_half,
    sum(('x' || right(written.digits, 16))::bit(64)::bigint) AS lower_half
FROM (
    SELECT encode(uuid_send(unique_row_id), 'hex') AS digits
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
) AS written;
