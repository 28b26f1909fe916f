-- Record a change of a month's state, and who still has to hear of it.
INSERT INTO {{ alarms_table | identifier }} (
    taxi_type,
    month,
    state,
    change,
    title,
    body,
    receivers,
    run_id
)
VALUES (
    {{ month.taxi_type | value }},
    {{ month.first_day | value }},
    {{ state | value }},
    {{ change | value }},
    {{ title | value }},
    {{ body | value }},
    {{ receivers | value }}::text[],
    {{ run_id | value }}
);
