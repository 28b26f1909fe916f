-- Add the columns that a table lacks.
{% for column in columns %}
ALTER TABLE {{ table | identifier }}
ADD COLUMN {{ column.name | identifier }} {{ column.type }};

COMMENT ON COLUMN {{ table | identifier }}.{{ column.name | identifier }}
IS {{ column.comment | value }};

{% endfor %}
