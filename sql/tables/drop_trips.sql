-- Drop an empty table, which is then created with other columns.
DROP TABLE {{ trips | identifier }};
