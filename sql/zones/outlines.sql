-- Select the outlines of the taxi zones.
SELECT
    location_id,
    outline,
    view_box
FROM {{ outlines_table | identifier }}
ORDER BY location_id;
