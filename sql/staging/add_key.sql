-- The primary key of a staging table, once its rows are in. It fails if two are alike.
ALTER TABLE {{ staging | identifier }}
ADD CONSTRAINT {{ key | identifier }} PRIMARY KEY (unique_row_id, pickup_datetime);
