-- Update the zones in place, since other tables may refer to them. The markers of other sources are
-- deleted.
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
