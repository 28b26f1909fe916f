-- Create the names of codes, from the catalog. Names that differ are replaced; none is removed.
{% for lookup in lookups %}
CREATE TABLE IF NOT EXISTS {{ (schema, lookup.table) | identifier }} (
    {{ lookup.column | identifier }} {{ lookup.type }} PRIMARY KEY,
    name text NOT NULL
);

COMMENT ON TABLE {{ (schema, lookup.table) | identifier }} IS {{ lookup.comment | value }};
COMMENT ON COLUMN {{ (schema, lookup.table) | identifier }}.{{ lookup.column | identifier }}
IS 'Code in column {{ lookup.column }} of trips';
COMMENT ON COLUMN {{ (schema, lookup.table) | identifier }}.name IS 'What it stands for';

INSERT INTO {{ (schema, lookup.table) | identifier }} ({{ lookup.column | identifier }}, name)
VALUES
{% for code, name in lookup.names.items() %}
({{ code | value }}, {{ name | value }}){{ "," if not loop.last }}
{% endfor %}
ON CONFLICT ({{ lookup.column | identifier }}) DO UPDATE SET name = excluded.name;

{% endfor %}
