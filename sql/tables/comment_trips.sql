-- Describe a taxi type's table and its columns, from the catalog.
COMMENT ON TABLE {{ trips | identifier }} IS {{ comment | value }};
COMMENT ON TABLE {{ other | identifier }}
IS 'Trips with a pickup in a month whose own file isn''t loaded';
COMMENT ON COLUMN {{ trips | identifier }}.unique_row_id
IS 'Fingerprint: md5 of every column that the catalog knows, kept or not';
COMMENT ON COLUMN {{ trips | identifier }}.filename IS 'Published file that the trip came in';
{% for column in columns %}
COMMENT ON COLUMN {{ trips | identifier }}.{{ column.name | identifier }}
IS {{ column.comment | value }};
{% endfor %}
