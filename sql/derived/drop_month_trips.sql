-- What a user's own statements read is gone at the end of the transaction.
DROP VIEW {{ month_trips | identifier }} CASCADE;
