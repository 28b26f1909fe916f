-- The month becomes visible. This waits for whoever reads the default partition, and keeps others
-- from it meanwhile: so it gives up soon, to be tried again.
SET LOCAL lock_timeout = {{ lock_timeout | value }};

ALTER TABLE {{ trips | identifier }} -- noqa: PRS
ATTACH PARTITION {{ partition | identifier }}
FOR VALUES FROM ({{ start | value }}) TO ({{ stop | value }});

ALTER TABLE {{ partition | identifier }} DROP CONSTRAINT pickup_month;

SET LOCAL lock_timeout = 0;
