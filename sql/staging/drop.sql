-- Drop a month's staging table.
DROP TABLE IF EXISTS {{ staging | identifier }};
