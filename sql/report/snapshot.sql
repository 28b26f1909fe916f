-- Have all statements of the transaction see the same moment, and sum up in memory: the planner
-- expects few rows of the views, and would sort all of them to group them.
SET LOCAL transaction_isolation TO 'repeatable read';
SET LOCAL work_mem TO '64MB';
SET LOCAL enable_sort TO 'off';
