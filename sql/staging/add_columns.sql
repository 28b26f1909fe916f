-- Add the columns that the trips table got after the staging table was created.
{% for name, definition in definitions.items() %}
ALTER TABLE {{ staging | identifier }}
ADD COLUMN {{ name | identifier }} {{ definition }};

{% endfor %}
