-- A user's own table doesn't exist, so no month is in it.
DELETE FROM {{ marker_table | identifier }}
WHERE target_table = {{ target_table | value }};
