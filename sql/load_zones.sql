-- All zones anew: whoever reads sees the old ones or these. Markers of other sources go.
DELETE FROM taxi_zones;

DELETE FROM {{ marker_table | identifier }}
WHERE starts_with(update_id, {{ update_id_prefix | value }});

INSERT INTO taxi_zones (location_id, borough, zone, service_zone)
VALUES
{% for location_id, borough, zone, service_zone in zones %}
(
    {{ location_id | value }},
    {{ borough | value }},
    {{ zone | value }},
    {{ service_zone | value }}
){{ "," if not loop.last else ";" }}
{% endfor %}
