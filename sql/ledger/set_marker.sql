-- Set the marker of table work, in the transaction that does it.
INSERT INTO {{ marker_table | identifier }} (update_id, target_table)
VALUES ({{ update_id | value }}, {{ target_table | value }})
ON CONFLICT (update_id) DO UPDATE
    SET
        target_table = excluded.target_table,
        inserted = now();
