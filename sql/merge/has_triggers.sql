-- Return a row if somebody gave a table triggers for INSERT (bit 2 of their type).
SELECT TRUE AS are_there
FROM pg_trigger
WHERE
    tgrelid = {{ trips | identifier | value }}::regclass
    AND NOT tgisinternal
    AND tgenabled IN ('O', 'A')
    AND tgtype & 4 <> 0;
