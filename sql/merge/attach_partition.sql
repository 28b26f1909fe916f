-- Attach the month's partition, which makes its trips visible. This waits for readers of the
-- default partition, and blocks others meanwhile.
ALTER TABLE {{ trips | identifier }} -- noqa: PRS
ATTACH PARTITION {{ partition | identifier }}
FOR VALUES FROM ({{ start | value }}) TO ({{ stop | value }});

ALTER TABLE {{ partition | identifier }} DROP CONSTRAINT pickup_month;
