-- Create the ledger, one row for each finished load of a month.
CREATE TABLE IF NOT EXISTS {{ ledger | identifier }} (
    load_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    taxi_type text NOT NULL,
    month date NOT NULL,
    trips_table text NOT NULL,
    filename text NOT NULL,
    url text NOT NULL,
    etag text,
    last_modified timestamp with time zone,
    bytes bigint NOT NULL,
    sha256 text NOT NULL,
    rows_read bigint NOT NULL,
    rows_rejected bigint NOT NULL,
    rows_staged bigint NOT NULL,
    rows_duplicate bigint NOT NULL,
    rows_present bigint NOT NULL,
    rows_inserted bigint NOT NULL,
    rows_removed bigint NOT NULL,
    rows_stray bigint NOT NULL,
    pickup_months jsonb NOT NULL,
    unknown_columns text[] NOT NULL,
    download_seconds double precision NOT NULL,
    transform_seconds double precision NOT NULL,
    stage_seconds double precision NOT NULL,
    merge_seconds double precision NOT NULL,
    started_at timestamp with time zone NOT NULL,
    finished_at timestamp with time zone NOT NULL,
    package_version text NOT NULL,
    CONSTRAINT load_history_read_adds_up
    CHECK (rows_read = rows_rejected + rows_staged),
    CONSTRAINT load_history_staged_adds_up
    CHECK (rows_staged = rows_duplicate + rows_present + rows_inserted)
);

CREATE INDEX IF NOT EXISTS load_history_month
ON {{ ledger | identifier }} (taxi_type, month, load_id);

COMMENT ON TABLE {{ ledger | identifier }} IS {{ ledger_comment | value }};
COMMENT ON COLUMN {{ ledger | identifier }}.load_id IS 'Rises with each load';
COMMENT ON COLUMN {{ ledger | identifier }}.taxi_type IS 'TLC service, such as green';
COMMENT ON COLUMN {{ ledger | identifier }}.month IS 'First day of the month in the file''s name';
COMMENT ON COLUMN {{ ledger | identifier }}.trips_table IS 'Table that the month was merged into';
COMMENT ON COLUMN {{ ledger | identifier }}.filename IS 'Value of column filename of its trips';
COMMENT ON COLUMN {{ ledger | identifier }}.url IS 'Where the file was fetched';
COMMENT ON COLUMN {{ ledger | identifier }}.etag IS 'Edition: the server''s ETag, if it gave one';
COMMENT ON COLUMN {{ ledger | identifier }}.last_modified IS 'Edition: when it was published';
COMMENT ON COLUMN {{ ledger | identifier }}.bytes IS 'Edition: size of the file';
COMMENT ON COLUMN {{ ledger | identifier }}.sha256
IS 'Edition: digest of the file, in hexadecimal';
COMMENT ON COLUMN {{ ledger | identifier }}.rows_read IS 'Rows of the file: rejected + staged';
COMMENT ON COLUMN {{ ledger | identifier }}.rows_rejected
IS 'Rows that could not be read, set aside';
COMMENT ON COLUMN {{ ledger | identifier }}.rows_staged
IS 'Rows staged: duplicate + present + inserted';
COMMENT ON COLUMN {{ ledger | identifier }}.rows_duplicate
IS 'Rows equal to another in every column that the catalog knows';
COMMENT ON COLUMN {{ ledger | identifier }}.rows_present IS 'Rows that were in the table already';
COMMENT ON COLUMN {{ ledger | identifier }}.rows_inserted
IS 'Rows that this load put into the table';
COMMENT ON COLUMN {{ ledger | identifier }}.rows_removed
IS 'Rows of an earlier edition, taken out';
COMMENT ON COLUMN {{ ledger | identifier }}.rows_stray IS 'Rows with a pickup outside the month';
COMMENT ON COLUMN {{ ledger | identifier }}.pickup_months
IS 'For each month of pickup: how many rows, and one by which they can be found again';
COMMENT ON COLUMN {{ ledger | identifier }}.unknown_columns
IS 'Columns of the file that were not read';
COMMENT ON COLUMN {{ ledger | identifier }}.download_seconds IS 'Duration of TaxiDownload';
COMMENT ON COLUMN {{ ledger | identifier }}.transform_seconds IS 'Duration of TaxiTransform';
COMMENT ON COLUMN {{ ledger | identifier }}.stage_seconds IS 'Duration of TaxiStageLoad';
COMMENT ON COLUMN {{ ledger | identifier }}.merge_seconds
IS 'Duration of TaxiMerge up to this row';
COMMENT ON COLUMN {{ ledger | identifier }}.started_at IS 'When the transform began';
COMMENT ON COLUMN {{ ledger | identifier }}.finished_at
IS 'When the merge was done, before its commit';
COMMENT ON COLUMN {{ ledger | identifier }}.package_version IS 'Version of luigi_tasks';
