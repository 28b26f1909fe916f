-- Create the table of the taxi zones' outlines, for TaxiZones to fill and a map to draw.
CREATE TABLE IF NOT EXISTS {{ outlines_table | identifier }} (
    location_id integer PRIMARY KEY,
    outline text NOT NULL,
    view_box text NOT NULL
);

COMMENT ON TABLE {{ outlines_table | identifier }} IS {{ outlines_comment | value }};
COMMENT ON COLUMN {{ outlines_table | identifier }}.location_id
IS 'Value of pickup_location_id and dropoff_location_id; 264 and 265 are no places';
COMMENT ON COLUMN {{ outlines_table | identifier }}.outline
IS 'Simplified borders of the zone: data of an SVG path in whole units, y downwards';
COMMENT ON COLUMN {{ outlines_table | identifier }}.view_box
IS 'viewBox of the map in these units, the same for all zones';
