-- All zones anew: whoever reads sees the old ones or these.
DELETE FROM taxi_zones;

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
