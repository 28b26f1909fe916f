-- Sum up trips of one month of pickup by the file that brought them, in one scan. Of one file, each
-- fingerprint is computed anew from the columns, as luigi_tasks/warehouse/fingerprint.py does it:
-- those that differ are counted.
{% set sends = {
    "integer": "int4send", "double precision": "float8send", "timestamp": "timestamp_send",
} %}
SELECT -- noqa: disable=LT02,LT05
    filename,
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
    ) FILTER (WHERE filename = {{ filename | value }}) AS rest,
    {% else %}
    0 AS rest,
    {% endif %}
    {% if covered %}
    count(*) FILTER (
        WHERE
            CASE
                WHEN filename = {{ filename | value }}
                    THEN
                        unique_row_id <> md5(
                            {% for column in covered %}
                            {% if column.type == "text" %}
                            coalesce('\x{{ "%02x" % column.tag }}'::bytea || decode(md5({{ column.name | identifier }}), 'hex'), '')
                            {% else %}
                            coalesce('\x{{ "%02x" % column.tag }}'::bytea || {{ sends[column.type] }}({{ column.name | identifier }}), '')
                            {% endif %}
                            {{ "||" if not loop.last }}
                            {% endfor %}
                        )::uuid
            END
    ) AS changed
    {% else %}
    0 AS changed
    {% endif %}
FROM {{ trips | identifier }}
WHERE
    pickup_datetime >= {{ start | value }}
    AND pickup_datetime < {{ stop | value }}
    {% if only_file %}
    AND filename = {{ filename | value }}
    {% endif %}
    {% if ids is not none %}
    AND unique_row_id = ANY({{ ids | value }}::uuid[])
    {% endif %}
GROUP BY filename;
