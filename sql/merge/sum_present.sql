-- Sum up the trips of one month of pickup that are in a source and in the trips table, by whether
-- the file itself brought them.
SELECT -- noqa: disable=LT02
    trip.filename = {{ filename | value }} AS is_own,
    count(*) AS trips,
    sum(uuid_hash_extended(trip.unique_row_id, 0)) AS upper_half,
    sum(uuid_hash_extended(trip.unique_row_id, 1)) AS lower_half,
    {% if rest %}
    sum(
        hash_record_extended(
            row(
                trip.unique_row_id,
                {% for name in rest %}
                trip.{{ name | identifier }}{{ "," if not loop.last }}
                {% endfor %}
            ),
            0
        )
    ) AS rest,
    {% else %}
    0 AS rest,
    {% endif %}
    {% if with_ids %}
    array_agg(trip.unique_row_id)::text[] AS ids
    {% else %}
    NULL::text[] AS ids
    {% endif %}
FROM {{ source | identifier }} AS staged
INNER JOIN {{ trips | identifier }} AS trip
    ON
        staged.unique_row_id = trip.unique_row_id
        AND staged.pickup_datetime = trip.pickup_datetime
WHERE
    staged.pickup_datetime >= {{ start | value }}
    AND staged.pickup_datetime < {{ stop | value }}
    AND trip.pickup_datetime >= {{ start | value }}
    AND trip.pickup_datetime < {{ stop | value }}
GROUP BY is_own;
