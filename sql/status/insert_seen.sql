-- Record what the source said of a service's months.
INSERT INTO {{ seen_table | identifier }} (taxi_type, month, reason, deadline)
SELECT
    {{ taxi_type | value }},
    seen.month,
    seen.reason,
    seen.deadline
FROM
    unnest(
        {{ months | value }}::date[],
        {{ reasons | value }}::text[],
        {{ deadlines | value }}::date[]
    ) AS seen (month, reason, deadline)
ON CONFLICT ON CONSTRAINT months_seen_pkey DO UPDATE
    SET
        reason = excluded.reason,
        deadline = excluded.deadline,
        seen_at = now();
