-- Create the tables of runs and of attempts to load a month.
CREATE TABLE IF NOT EXISTS {{ runs_table | identifier }} (
    run_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    host text NOT NULL,
    pid integer NOT NULL,
    started_by text NOT NULL,
    label text,
    command text NOT NULL,
    state text NOT NULL,
    waiting_for text,
    error text,
    exit_code integer,
    corrections_checked text[] NOT NULL DEFAULT '{}',
    began_at timestamp with time zone NOT NULL DEFAULT now(),
    last_seen_at timestamp with time zone NOT NULL DEFAULT now(),
    ended_at timestamp with time zone,
    package_version text NOT NULL,
    CONSTRAINT runs_state
    CHECK (state IN ('waiting', 'running', 'succeeded', 'failed', 'cancelled'))
);

CREATE INDEX IF NOT EXISTS runs_unfinished
ON {{ runs_table | identifier }} (run_id) WHERE ended_at IS NULL;

COMMENT ON TABLE {{ runs_table | identifier }} IS {{ runs_comment | value }};
COMMENT ON COLUMN {{ runs_table | identifier }}.run_id IS 'Rises with each run';
COMMENT ON COLUMN {{ runs_table | identifier }}.host IS 'Host name of the machine';
COMMENT ON COLUMN {{ runs_table | identifier }}.pid IS 'Process id on that host';
COMMENT ON COLUMN {{ runs_table | identifier }}.started_by IS 'User of the machine';
COMMENT ON COLUMN {{ runs_table | identifier }}.label IS 'What [run] label or --run-label says';
COMMENT ON COLUMN {{ runs_table | identifier }}.command IS 'The task that was asked for';
COMMENT ON COLUMN {{ runs_table | identifier }}.state
IS 'waiting, running, succeeded, failed or cancelled';
COMMENT ON COLUMN {{ runs_table | identifier }}.waiting_for
IS 'What it waits for, and which session holds that';
COMMENT ON COLUMN {{ runs_table | identifier }}.error IS 'Why it failed, on one line';
COMMENT ON COLUMN {{ runs_table | identifier }}.exit_code IS 'Exit code of the command';
COMMENT ON COLUMN {{ runs_table | identifier }}.corrections_checked
IS 'Services all of whose corrected months were loaded again';
COMMENT ON COLUMN {{ runs_table | identifier }}.began_at IS 'When it began';
COMMENT ON COLUMN {{ runs_table | identifier }}.last_seen_at IS 'Its last sign of life';
COMMENT ON COLUMN {{ runs_table | identifier }}.ended_at
IS 'When it ended, or was found to have died';
COMMENT ON COLUMN {{ runs_table | identifier }}.package_version IS 'Version of luigi_tasks';

CREATE TABLE IF NOT EXISTS {{ attempts_table | identifier }} (
    attempt_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id bigint NOT NULL REFERENCES {{ runs_table | identifier }} ON DELETE CASCADE,
    taxi_type text NOT NULL,
    month date NOT NULL,
    state text NOT NULL,
    step text NOT NULL,
    error text,
    cause text,
    url text,
    etag text,
    last_modified timestamp with time zone,
    bytes bigint,
    sha256 text,
    settings text,
    is_forgotten boolean NOT NULL DEFAULT FALSE,
    began_at timestamp with time zone NOT NULL DEFAULT now(),
    last_seen_at timestamp with time zone NOT NULL DEFAULT now(),
    ended_at timestamp with time zone,
    CONSTRAINT load_attempts_of_run UNIQUE (run_id, taxi_type, month),
    CONSTRAINT load_attempts_state
    CHECK (state IN ('waiting', 'running', 'succeeded', 'failed', 'cancelled')),
    CONSTRAINT load_attempts_cause CHECK (cause IN ('content', 'passing', 'other'))
);

CREATE INDEX IF NOT EXISTS load_attempts_month
ON {{ attempts_table | identifier }} (taxi_type, month, attempt_id);

COMMENT ON TABLE {{ attempts_table | identifier }} IS {{ attempts_comment | value }};
COMMENT ON COLUMN {{ attempts_table | identifier }}.attempt_id IS 'Rises with each attempt';
COMMENT ON COLUMN {{ attempts_table | identifier }}.run_id IS 'The run that made it';
COMMENT ON COLUMN {{ attempts_table | identifier }}.taxi_type IS 'TLC service, such as green';
COMMENT ON COLUMN {{ attempts_table | identifier }}.month
IS 'First day of the month in the file''s name';
COMMENT ON COLUMN {{ attempts_table | identifier }}.state
IS 'waiting, running, succeeded, failed or cancelled';
COMMENT ON COLUMN {{ attempts_table | identifier }}.step IS 'The task that it came to';
COMMENT ON COLUMN {{ attempts_table | identifier }}.error IS 'Why it failed, on one line';
COMMENT ON COLUMN {{ attempts_table | identifier }}.cause
IS 'content: the file, until another is published; passing: machine, source or warehouse; other';
COMMENT ON COLUMN {{ attempts_table | identifier }}.url IS 'Where the file was fetched';
COMMENT ON COLUMN {{ attempts_table | identifier }}.etag IS 'Edition: the server''s ETag';
COMMENT ON COLUMN {{ attempts_table | identifier }}.last_modified
IS 'Edition: when it was published';
COMMENT ON COLUMN {{ attempts_table | identifier }}.bytes IS 'Edition: size of the file';
COMMENT ON COLUMN {{ attempts_table | identifier }}.sha256
IS 'Edition: digest of the file, in hexadecimal';
COMMENT ON COLUMN {{ attempts_table | identifier }}.settings
IS 'Digest of the settings and the version that decide whether a file can be loaded';
COMMENT ON COLUMN {{ attempts_table | identifier }}.is_forgotten
IS 'Whether TaxiReset has asked for another attempt';
COMMENT ON COLUMN {{ attempts_table | identifier }}.began_at IS 'When it began';
COMMENT ON COLUMN {{ attempts_table | identifier }}.last_seen_at IS 'Its last sign of life';
COMMENT ON COLUMN {{ attempts_table | identifier }}.ended_at
IS 'When it ended, or was found to have died';
