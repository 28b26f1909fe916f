-- Delete staged trips that another month's file brought, and that are in the default partition:
-- they stay under the name of the file that came first. Their number and the sum of their
-- fingerprints are returned.
WITH skipped AS (
    DELETE FROM {{ staging | identifier }} AS staged
    USING {{ other | identifier }} AS present
    WHERE
        staged.unique_row_id = present.unique_row_id
        AND staged.pickup_datetime = present.pickup_datetime
        AND present.pickup_datetime >= {{ start | value }}
        AND present.pickup_datetime < {{ stop | value }}
    RETURNING staged.unique_row_id
)

SELECT
    count(*) AS trips,
    sum(uuid_hash_extended(unique_row_id, 0)) AS upper_half,
    sum(uuid_hash_extended(unique_row_id, 1)) AS lower_half
FROM skipped;
