-- Sum up what a table holds of a file in one month of pickup: its fingerprints, and its columns
-- that these don't cover.
SELECT -- noqa: disable=LT02
    count(*) AS trips,
    sum(uuid_hash_extended(unique_row_id, 0)) AS upper_half,
    sum(uuid_hash_extended(unique_row_id, 1)) AS lower_half,
    {% if rest %}
    sum(
        hash_record_extended(
            row(
                unique_row_id,
                {% for name in rest %}
                {{ name | identifier }}{{ "," if not loop.last }}
                {% endfor %}
            ),
            0
        )
    ) AS rest
    {% else %}
    0 AS rest
    {% endif %}
FROM {{ table | identifier }}
WHERE
    filename = {{ filename | value }}
    AND pickup_datetime >= {{ start | value }}
    AND pickup_datetime < {{ stop | value }};
