-- A user's own table, with the columns of the query that fills it.
CREATE TABLE {{ derived | identifier }} AS
SELECT
    ''::text AS taxi_type,
    '2024-01-01'::date AS month,
    derived.*
FROM (
    {{ query }}
) AS derived
WITH NO DATA;

CREATE INDEX ON {{ derived | identifier }} (taxi_type, month);
COMMENT ON TABLE {{ derived | identifier }} IS {{ comment | value }};
COMMENT ON COLUMN {{ derived | identifier }}.taxi_type IS 'TLC service, such as green';
COMMENT ON COLUMN {{ derived | identifier }}.month
IS 'First day of the month in the file''s name';
