-- Create the tables of the names of codes.
{% for lookup in lookups %}
CREATE TABLE IF NOT EXISTS {{ (schema, lookup.table) | identifier }} (
    {{ lookup.column | identifier }} {{ lookup.type }} PRIMARY KEY,
    name text NOT NULL
);

COMMENT ON TABLE {{ (schema, lookup.table) | identifier }} IS {{ lookup.comment | value }};
COMMENT ON COLUMN {{ (schema, lookup.table) | identifier }}.{{ lookup.column | identifier }}
IS 'Code in column {{ lookup.column }} of trips';
COMMENT ON COLUMN {{ (schema, lookup.table) | identifier }}.name IS 'What it stands for';

{% endfor %}
