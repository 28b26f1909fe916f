-- Create a month's staging table, with the columns of the trips table and those that are new. They
-- are listed one by one, since LIKE would hold a lock on the trips table until the rows are in. A
-- table that is to become the month's partition is logged. Any other is unlogged: after a crash of
-- the server it is empty, and no longer counts as staged.
DROP TABLE IF EXISTS {{ staging | identifier }};

CREATE {{ "" if becomes_partition else "UNLOGGED " }}TABLE {{ staging | identifier }} (
    {% for name, definition in definitions.items() %}
    {{ name | identifier }} {{ definition }}{{ "," if not loop.last }}
    {% endfor %}
);

ALTER TABLE {{ staging | identifier }}
ALTER COLUMN filename SET DEFAULT {{ filename | value }};
