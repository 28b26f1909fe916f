-- Generate the statements that create the schemas which don't exist. CREATE SCHEMA IF NOT EXISTS
-- would ask for the privilege to create even those that do.
SELECT format('CREATE SCHEMA %I', wanted.name) AS statement
FROM unnest({{ schemas | value }}::text[]) AS wanted (name)
WHERE to_regnamespace(quote_ident(wanted.name)) IS NULL
ORDER BY wanted.name;
