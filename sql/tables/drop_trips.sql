-- An empty table goes, to be made anew with other columns.
DROP TABLE {{ trips | identifier }};
