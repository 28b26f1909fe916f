-- Drop the views of an earlier version. That fails if something else depends on one.
DROP VIEW IF EXISTS {{ trips_view | identifier }};
{% for view in tables %}
DROP VIEW IF EXISTS {{ view | identifier }};
{% endfor %}
