-- Delete the markers of table work that no longer holds.
DELETE FROM {{ marker_table | identifier }}
WHERE update_id = ANY({{ update_ids | value }}::text[]);
