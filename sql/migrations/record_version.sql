-- Record the migration that was applied last, and the newest package that looked after the
-- warehouse.
CREATE TABLE IF NOT EXISTS {{ version_table | identifier }} (
    migration integer NOT NULL,
    package text NOT NULL
);

COMMENT ON TABLE {{ version_table | identifier }} IS {{ comment | value }};
COMMENT ON COLUMN {{ version_table | identifier }}.migration
IS 'Number of the last migration that was applied';
COMMENT ON COLUMN {{ version_table | identifier }}.package
IS 'Newest version of luigi_tasks that looked after tables and views';
DELETE FROM {{ version_table | identifier }};

INSERT INTO {{ version_table | identifier }} (migration, package)
VALUES ({{ migration | value }}, {{ package | value }});
