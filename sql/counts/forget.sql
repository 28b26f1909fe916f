-- Forget which loads are counted, since a table for analysts is new.
DELETE FROM {{ counted_table | identifier }};
