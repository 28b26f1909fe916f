-- Select the months of which somebody heard last that something is wrong, and what.
SELECT
    last_alarm.taxi_type,
    last_alarm.month,
    last_alarm.state
FROM (
    SELECT DISTINCT ON (alarm.taxi_type, alarm.month) alarm.*
    FROM {{ alarms_table | identifier }} AS alarm
    ORDER BY alarm.taxi_type ASC, alarm.month ASC, alarm.alarm_id DESC
) AS last_alarm
WHERE last_alarm.state <> 'ok'
ORDER BY last_alarm.month, last_alarm.taxi_type;
