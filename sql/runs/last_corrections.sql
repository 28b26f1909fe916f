-- Select when a run last loaded all corrected months of each service again.
SELECT
    checked.taxi_type,
    max(run.ended_at) AS checked_at
FROM {{ runs_table | identifier }} AS run
CROSS JOIN LATERAL unnest(run.corrections_checked) AS checked (taxi_type)
WHERE run.ended_at IS NOT NULL
GROUP BY checked.taxi_type;
