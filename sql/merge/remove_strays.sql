-- Delete the strays from the staging table.
DELETE FROM {{ staging | identifier }} AS staged
USING pg_temp.strays AS strays
WHERE staged.ctid = strays.place;
