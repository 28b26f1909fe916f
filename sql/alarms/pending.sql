-- Select the alarms that one of some receivers still has to get, unless they are too old.
SELECT
    alarm_id,
    change,
    title,
    body,
    receivers,
    created_at
FROM {{ alarms_table | identifier }}
WHERE
    receivers && {{ receivers | value }}::text[]
    AND created_at > now() - make_interval(days => {{ days | value }})
ORDER BY alarm_id;
