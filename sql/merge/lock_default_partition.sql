-- Block writers of the default partition until the end of the transaction: a stray of the month
-- that arrived after the others were moved would keep the month's partition from being attached.
LOCK TABLE {{ other | identifier }} IN SHARE ROW EXCLUSIVE MODE;
