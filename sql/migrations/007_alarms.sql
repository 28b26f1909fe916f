-- Create the table of alarms about months.
CREATE TABLE IF NOT EXISTS {{ alarms_table | identifier }} (
    alarm_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    taxi_type text NOT NULL,
    month date NOT NULL,
    state text NOT NULL,
    change text NOT NULL,
    title text NOT NULL,
    body text NOT NULL,
    receivers text[] NOT NULL,
    run_id bigint,
    created_at timestamp with time zone NOT NULL DEFAULT now(),
    CONSTRAINT alarms_state CHECK (state IN ('ok', 'failed', 'overdue'))
);

CREATE INDEX IF NOT EXISTS alarms_month
ON {{ alarms_table | identifier }} (taxi_type, month, alarm_id);

COMMENT ON TABLE {{ alarms_table | identifier }} IS {{ alarms_comment | value }};
COMMENT ON COLUMN {{ alarms_table | identifier }}.alarm_id IS 'Rises with each alarm';
COMMENT ON COLUMN {{ alarms_table | identifier }}.taxi_type IS 'TLC service, such as green';
COMMENT ON COLUMN {{ alarms_table | identifier }}.month
IS 'First day of the month in the file''s name';
COMMENT ON COLUMN {{ alarms_table | identifier }}.state
IS 'State of the month since then: ok, failed or overdue';
COMMENT ON COLUMN {{ alarms_table | identifier }}.change
IS 'What happened: failed, mended, overdue or arrived';
COMMENT ON COLUMN {{ alarms_table | identifier }}.title IS 'Title of the message';
COMMENT ON COLUMN {{ alarms_table | identifier }}.body IS 'Text of the message';
COMMENT ON COLUMN {{ alarms_table | identifier }}.receivers
IS 'Digests of the receivers that still have to get it';
COMMENT ON COLUMN {{ alarms_table | identifier }}.run_id IS 'The run that found it';
COMMENT ON COLUMN {{ alarms_table | identifier }}.created_at IS 'When it was found';
