-- Record that a receiver got an alarm.
UPDATE {{ alarms_table | identifier }}
SET receivers = array_remove(receivers, {{ receiver | value }}::text)
WHERE alarm_id = {{ alarm_id | value }};
