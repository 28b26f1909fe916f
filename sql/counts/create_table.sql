-- Create the table of what each month's file adds to a table for analysts. It has no primary key,
-- since a zone may be NULL; REPLICA IDENTITY lets rows be deleted where all tables are published.
CREATE TABLE {{ by_file | identifier }} (
    trips_table text NOT NULL,
    taxi_type text NOT NULL,
    file_month date NOT NULL,
    {% for key in feature["keys"] %}
    {{ key.name | identifier }} {{ key.type }},
    {% endfor %}
    {% for sum in feature.sums %}
    {{ sum.name | identifier }} bigint{{ "," if not loop.last }}
    {% endfor %}
);

ALTER TABLE {{ by_file | identifier }} REPLICA IDENTITY FULL;

CREATE INDEX ON {{ by_file | identifier }} (trips_table, taxi_type, file_month);

COMMENT ON TABLE {{ by_file | identifier }} IS {{ comment | value }};
COMMENT ON COLUMN {{ by_file | identifier }}.trips_table IS 'Table that has the trips';
COMMENT ON COLUMN {{ by_file | identifier }}.taxi_type IS 'TLC service, such as green';
COMMENT ON COLUMN {{ by_file | identifier }}.file_month
IS 'First day of the month in the file''s name';
{% for key in feature["keys"] %}
COMMENT ON COLUMN {{ by_file | identifier }}.{{ key.name | identifier }}
IS {{ key.comment | value }};
{% endfor %}
{% for sum in feature.sums %}
COMMENT ON COLUMN {{ by_file | identifier }}.{{ sum.name | identifier }}
IS {{ (sum.comment ~ (", in whole hundredths" if sum.is_amount else "")) | value }};
{% endfor %}
