-- A month's staging table: like the trips table, made anew. One that is to become the month's
-- partition is logged. Any other one isn't: after a crash of the server it is empty, and no longer
-- counts as staged.
DROP TABLE IF EXISTS {{ staging | identifier }};

CREATE {{ "" if becomes_partition else "UNLOGGED " }}TABLE {{ staging | identifier }} (
    LIKE {{ trips | identifier }}
);

ALTER TABLE {{ staging | identifier }}
ALTER COLUMN filename SET DEFAULT {{ filename | value }};
