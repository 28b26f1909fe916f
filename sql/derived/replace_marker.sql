-- The marker of a user's own table, in place of those of the month's earlier loads.
DELETE FROM {{ marker_table | identifier }}
WHERE starts_with(update_id, {{ prefix | value }});

INSERT INTO {{ marker_table | identifier }} (update_id, target_table)
VALUES ({{ update_id | value }}, {{ target_table | value }});
