-- List the zones that the source doesn't have.
SELECT location_id
FROM {{ zones_table | identifier }}
WHERE NOT location_id = ANY({{ location_ids | value }}::integer[])
ORDER BY location_id;
