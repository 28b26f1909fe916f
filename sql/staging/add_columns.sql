-- Columns that the trips table got since a staging table was made.
{% for name, definition in definitions.items() %}
ALTER TABLE {{ staging | identifier }}
ADD COLUMN {{ name | identifier }} {{ definition }};

{% endfor %}
