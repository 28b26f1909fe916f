-- Drop the view of a file's trips, and what was counted of them.
DROP VIEW pg_temp.file_trips;

DROP TABLE pg_temp.by_hour, pg_temp.by_zone;
