-- Whoever writes to the default partition waits until the end of the transaction: a stray of the
-- month that came in after the others were taken out would keep its partition from being attached.
LOCK TABLE {{ other | identifier }} IN SHARE ROW EXCLUSIVE MODE;
