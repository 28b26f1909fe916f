-- MERGE would insert equal rows of its source twice: keep one of each.
DELETE FROM {{ staging | identifier }} AS staged
USING (
    SELECT
        unique_row_id,
        min(ctid) AS kept
    FROM {{ staging | identifier }}
    GROUP BY unique_row_id
    HAVING count(*) > 1
) AS repeated
WHERE
    staged.unique_row_id = repeated.unique_row_id
    AND staged.ctid <> repeated.kept;
