-- Columns that this version knows, and an earlier one that made the table didn't.
{% for column in columns %}
ALTER TABLE {{ trips | identifier }}
ADD COLUMN {{ column.name | identifier }} {{ column.type }};

{% endfor %}
