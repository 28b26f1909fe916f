-- Create the table of taxi zones, for TaxiZones to fill.
CREATE TABLE IF NOT EXISTS {{ zones_table | identifier }} (
    location_id integer PRIMARY KEY,
    borough text,
    zone text,
    service_zone text
);

COMMENT ON TABLE {{ zones_table | identifier }} IS {{ zones_comment | value }};
COMMENT ON COLUMN {{ zones_table | identifier }}.location_id
IS 'Value of pickup_location_id and dropoff_location_id';
COMMENT ON COLUMN {{ zones_table | identifier }}.borough
IS 'Borough, EWR, or N/A for what lies outside';
COMMENT ON COLUMN {{ zones_table | identifier }}.zone IS 'Name of the zone';
COMMENT ON COLUMN {{ zones_table | identifier }}.service_zone
IS 'Who may pick up passengers who hail';
