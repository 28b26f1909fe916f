-- The taxi zones, for TaxiZones to fill.
CREATE TABLE IF NOT EXISTS taxi_zones (
    location_id integer PRIMARY KEY,
    borough text,
    zone text,
    service_zone text
);

COMMENT ON TABLE taxi_zones IS {{ comment | value }};
COMMENT ON COLUMN taxi_zones.location_id
IS 'Value of pickup_location_id and dropoff_location_id';
COMMENT ON COLUMN taxi_zones.borough IS 'Borough, EWR, or N/A for what lies outside';
COMMENT ON COLUMN taxi_zones.zone IS 'Name of the zone';
COMMENT ON COLUMN taxi_zones.service_zone IS 'Who may pick up passengers who hail';
