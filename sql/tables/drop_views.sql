-- Views of an earlier version go, unless something else is built on them.
DROP VIEW IF EXISTS {{ trips_view | identifier }};
{% for view in tables %}
DROP VIEW IF EXISTS {{ view | identifier }};
{% endfor %}
