-- What is set apart leaves the staging table.
DELETE FROM {{ staging | identifier }} AS staged
USING strays
WHERE staged.ctid = strays.place;
