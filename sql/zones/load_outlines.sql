-- Replace the outlines of the taxi zones.
DELETE FROM {{ outlines_table | identifier }};

INSERT INTO {{ outlines_table | identifier }} (location_id, outline, view_box)
VALUES
{% for location_id, outline, view_box in outlines %}
(
    {{ location_id | value }},
    {{ outline | value }},
    {{ view_box | value }}
){{ ";" if loop.last else "," }}
{% endfor %}
