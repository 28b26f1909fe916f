-- The month becomes visible. This waits for whoever reads the default partition, and keeps others
-- from it meanwhile.
ALTER TABLE {{ trips | identifier }} -- noqa: PRS
ATTACH PARTITION {{ partition | identifier }}
FOR VALUES FROM ({{ start | value }}) TO ({{ stop | value }});

ALTER TABLE {{ partition | identifier }} DROP CONSTRAINT pickup_month;
