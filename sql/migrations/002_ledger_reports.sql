-- Add what the transform and its script report, data quality, and rows that two files share.
ALTER TABLE {{ ledger | identifier }}
ADD COLUMN IF NOT EXISTS script text,
ADD COLUMN IF NOT EXISTS outputs jsonb NOT NULL DEFAULT '{}',
ADD COLUMN IF NOT EXISTS metrics jsonb NOT NULL DEFAULT '[]',
ADD COLUMN IF NOT EXISTS quality jsonb NOT NULL DEFAULT '{}',
ADD COLUMN IF NOT EXISTS new_columns jsonb NOT NULL DEFAULT '{}',
ADD COLUMN IF NOT EXISTS fingerprint_version integer NOT NULL DEFAULT 1,
ADD COLUMN IF NOT EXISTS rows_shared bigint;

COMMENT ON COLUMN {{ ledger | identifier }}.rows_shared
IS 'Of those present: rows that another month''s file had brought';
COMMENT ON COLUMN {{ ledger | identifier }}.script
IS 'The transform of the user''s own, with a digest, if there was one';
COMMENT ON COLUMN {{ ledger | identifier }}.outputs IS 'Values that the script reported, by name';
COMMENT ON COLUMN {{ ledger | identifier }}.quality
IS 'What is odd in the rows: how many of each kind';
COMMENT ON COLUMN {{ ledger | identifier }}.new_columns
IS 'Columns of the file that the catalog doesn''t know, with their types; they were kept';
COMMENT ON COLUMN {{ ledger | identifier }}.fingerprint_version
IS 'How unique_row_id was computed: rises when rows get others';
COMMENT ON COLUMN {{ ledger | identifier }}.metrics
IS 'Counters, timers and gauges that the script reported';
