-- Add to the ledger what TaxiVerify compares a month with.
ALTER TABLE {{ ledger | identifier }}
ADD COLUMN IF NOT EXISTS sums jsonb,
ADD COLUMN IF NOT EXISTS stray_ids uuid[];

COMMENT ON COLUMN {{ ledger | identifier }}.sums
IS 'What TaxiVerify compares: trips of the file''s name and their sums, by month of pickup';
COMMENT ON COLUMN {{ ledger | identifier }}.stray_ids
IS 'unique_row_id of the strays that have the file''s name; NULL if there are too many';
