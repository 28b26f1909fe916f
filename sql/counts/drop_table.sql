-- Drop a table for analysts that is defined in another way now.
DROP VIEW IF EXISTS {{ view | identifier }};

DROP TABLE IF EXISTS {{ by_file | identifier }};
