-- Create a schema that the settings name. IF NOT EXISTS would ask for the privilege to create it
-- even if it exists.
CREATE SCHEMA {{ schema | identifier }};
