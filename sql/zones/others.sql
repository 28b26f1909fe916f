-- The zones that are there beside those of the source.
SELECT location_id
FROM {{ zones_table | identifier }}
WHERE NOT location_id = ANY({{ location_ids | value }}::integer[])
ORDER BY location_id;
