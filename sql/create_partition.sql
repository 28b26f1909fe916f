-- The partition of one month. Trips of that month that went to the default partition, because
-- the month was in the future when they were loaded, move into it.
CREATE TEMPORARY TABLE displaced ON COMMIT DROP AS
SELECT *
FROM {{ other | identifier }}
WHERE pickup_datetime >= {{ start | value }} AND pickup_datetime < {{ stop | value }};

DELETE FROM {{ other | identifier }}
WHERE pickup_datetime >= {{ start | value }} AND pickup_datetime < {{ stop | value }};

CREATE TABLE {{ partition | identifier }}
PARTITION OF {{ trips | identifier }}
FOR VALUES FROM ({{ start | value }}) TO ({{ stop | value }});

INSERT INTO {{ partition | identifier }}
SELECT *
FROM displaced;

DROP TABLE displaced;

COMMENT ON TABLE {{ partition | identifier }}
IS {{ comment | value }};
