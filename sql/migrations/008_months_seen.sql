-- Create the table of what the source said of months when a run last asked.
CREATE TABLE IF NOT EXISTS {{ seen_table | identifier }} (
    taxi_type text NOT NULL,
    month date NOT NULL,
    reason text NOT NULL,
    deadline date,
    seen_at timestamp with time zone NOT NULL DEFAULT now(),
    CONSTRAINT months_seen_pkey PRIMARY KEY (taxi_type, month),
    CONSTRAINT months_seen_reason
    CHECK (reason IN ('missing', 'corrected since', 'not yet published', 'overdue'))
);

COMMENT ON TABLE {{ seen_table | identifier }} IS {{ seen_comment | value }};
COMMENT ON COLUMN {{ seen_table | identifier }}.taxi_type IS 'TLC service, such as green';
COMMENT ON COLUMN {{ seen_table | identifier }}.month
IS 'First day of the month in the file''s name';
COMMENT ON COLUMN {{ seen_table | identifier }}.reason
IS 'Why it wasn''t complete: missing, corrected since, not yet published or overdue';
COMMENT ON COLUMN {{ seen_table | identifier }}.deadline
IS 'Last day on which it isn''t overdue yet, if it isn''t published';
COMMENT ON COLUMN {{ seen_table | identifier }}.seen_at IS 'When the source was asked';
