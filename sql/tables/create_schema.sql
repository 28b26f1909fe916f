-- A schema named in the settings. IF NOT EXISTS asks for the right to create it even if it exists.
CREATE SCHEMA {{ schema | identifier }};
