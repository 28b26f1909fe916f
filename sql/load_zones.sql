-- All zones anew: whoever reads sees the old ones or these. Markers of other sources go.
DELETE FROM {{ zones_table | identifier }};

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
){{ "," if not loop.last else ";" }}
{% endfor %}
