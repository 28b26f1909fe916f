-- Settings of a transaction that moves many rows.
SET LOCAL work_mem = '64MB';

SET LOCAL maintenance_work_mem = '64MB';

SET LOCAL jit = off;
