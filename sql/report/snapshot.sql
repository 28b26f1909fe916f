-- Have all statements of the transaction see the same moment.
SET LOCAL transaction_isolation TO 'repeatable read';
