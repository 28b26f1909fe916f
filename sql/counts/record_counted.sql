-- Record which load of a month's file the tables for analysts count.
INSERT INTO {{ counted_table | identifier }} (trips_table, taxi_type, month, load_id, definition)
VALUES (
    {{ trips | join('.') | value }},
    {{ taxi_type | value }},
    {{ month | value }},
    {{ load_id | value }},
    {{ definition | value }}
);
