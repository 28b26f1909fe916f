-- Select the zones' outlines, with their names.
SELECT
    drawn.location_id,
    drawn.outline,
    drawn.view_box,
    named.zone,
    named.borough
FROM {{ outlines_table | identifier }} AS drawn
LEFT JOIN {{ zones_table | identifier }} AS named
    ON drawn.location_id = named.location_id
ORDER BY drawn.location_id;
