-- Create the table of the loads that the tables for analysts count.
CREATE TABLE IF NOT EXISTS {{ counted_table | identifier }} (
    trips_table text NOT NULL,
    taxi_type text NOT NULL,
    month date NOT NULL,
    load_id bigint NOT NULL,
    definition text NOT NULL,
    CONSTRAINT counted_loads_pkey PRIMARY KEY (trips_table, taxi_type, month)
);

COMMENT ON TABLE {{ counted_table | identifier }} IS {{ counted_comment | value }};
COMMENT ON COLUMN {{ counted_table | identifier }}.trips_table IS 'Table that has the trips';
COMMENT ON COLUMN {{ counted_table | identifier }}.taxi_type IS 'TLC service, such as green';
COMMENT ON COLUMN {{ counted_table | identifier }}.month
IS 'First day of the month in the file''s name';
COMMENT ON COLUMN {{ counted_table | identifier }}.load_id
IS 'The load in load_history; another one since then has still to be counted';
COMMENT ON COLUMN {{ counted_table | identifier }}.definition
IS 'Digest of how the tables for analysts are defined';
