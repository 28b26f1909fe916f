-- Add the primary key of a staging table, once its rows are in. This fails if two rows are alike.
ALTER TABLE {{ staging | identifier }}
ADD CONSTRAINT {{ key | identifier }} PRIMARY KEY (unique_row_id, pickup_datetime);
