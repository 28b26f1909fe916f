-- A taxi type's table of trips, partitioned by month of pickup. A month gets its partition when its
-- own file is loaded; pickups of any other time wait, or stay, in the default partition.
CREATE TABLE IF NOT EXISTS {{ trips | identifier }} (
    unique_row_id uuid NOT NULL,
    filename text NOT NULL,
    {% for column in columns %}
    {{ column.name | identifier }} {{ column.type }}{{ " NOT NULL" if column.required }},
    {% endfor %}
    PRIMARY KEY (unique_row_id, pickup_datetime)
) PARTITION BY RANGE (pickup_datetime);

CREATE TABLE IF NOT EXISTS {{ other | identifier }}
PARTITION OF {{ trips | identifier }} DEFAULT;

COMMENT ON TABLE {{ trips | identifier }} IS {{ comment | value }};
COMMENT ON TABLE {{ other | identifier }}
IS 'Trips with a pickup in a month whose own file isn''t loaded';
COMMENT ON COLUMN {{ trips | identifier }}.unique_row_id
IS 'Fingerprint: md5 of every column below filename';
COMMENT ON COLUMN {{ trips | identifier }}.filename IS 'Published file that the trip came in';
{% for column in columns %}
COMMENT ON COLUMN {{ trips | identifier }}.{{ column.name | identifier }}
IS {{ column.comment | value }};
{% endfor %}
