-- Select when a run last ended well.
SELECT max(ended_at) AS last_success
FROM {{ runs_table | identifier }}
WHERE state = 'succeeded';
