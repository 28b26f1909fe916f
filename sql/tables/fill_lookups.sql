-- Insert the names of codes, from the catalog. Names that differ are replaced; none is removed.
{% for lookup in lookups %}
INSERT INTO {{ (schema, lookup.table) | identifier }} ({{ lookup.column | identifier }}, name)
VALUES
{% for code, name in lookup.names.items() %}
({{ code | value }}, {{ name | value }}){{ "," if not loop.last }}
{% endfor %}
ON CONFLICT ({{ lookup.column | identifier }}) DO UPDATE SET name = excluded.name;

{% endfor %}
