-- Columns that came with a published file. This waits for whoever reads the table, and keeps others
-- from it meanwhile: so it gives up soon, to be tried again.
SET LOCAL lock_timeout = {{ lock_timeout | value }};

{% for column in columns %}
ALTER TABLE {{ trips | identifier }}
ADD COLUMN {{ column.name | identifier }} {{ column.type }};

COMMENT ON COLUMN {{ trips | identifier }}.{{ column.name | identifier }}
IS {{ column.comment | value }};

{% endfor %}
SET LOCAL lock_timeout = 0;
