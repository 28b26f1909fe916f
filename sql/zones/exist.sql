-- Return a row if the zones of a source are loaded, with the outlines of one if one is named.
-- Outlines that can't be had are let off for the run that has tried.
SELECT TRUE AS are_there
FROM {{ marker_table | identifier }}
WHERE
    update_id = {{ markers.names | value }}
    {% if markers.outlines %}
    AND EXISTS (
        SELECT
        FROM {{ marker_table | identifier }} AS of_outlines
        WHERE
            of_outlines.update_id = {{ markers.without_outlines | value }}
            OR (
                of_outlines.update_id = {{ markers.outlines | value }}
                AND EXISTS (
                    SELECT
                    FROM {{ outlines_table | identifier }}
                )
            )
    )
    {% endif %}
    AND EXISTS (
        SELECT
        FROM {{ zones_table | identifier }}
    );
