-- The zones are put right in place, for other tables may refer to them. Those that are gone go,
-- unless something does, whatever its foreign key would do about it. Markers of other sources go.
DELETE FROM {{ marker_table | identifier }}
WHERE starts_with(update_id, {{ update_id_prefix | value }});

INSERT INTO {{ zones_table | identifier }} (location_id, borough, zone, service_zone)
VALUES
{% for location_id, borough, zone, service_zone in zones %}
(
    {{ location_id | value }},
    {{ borough | value }},
    {{ zone | value }},
    {{ service_zone | value }}
){{ "," if not loop.last }}
{% endfor %}
ON CONFLICT (location_id) DO UPDATE
    SET
        borough = excluded.borough,
        zone = excluded.zone,
        service_zone = excluded.service_zone;

DELETE FROM {{ zones_table | identifier }} AS present
WHERE
    {% for schema_name, table_name, column_name, zone_column in references %}
    NOT EXISTS (
        SELECT
        FROM {{ (schema_name, table_name) | identifier }} AS referring
        WHERE referring.{{ column_name | identifier }} = present.{{ zone_column | identifier }}
    ) AND -- noqa: LT03
    {% endfor %}
    NOT present.location_id = ANY({{ location_ids | value }}::integer[]);
