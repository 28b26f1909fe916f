-- Create a taxi type's trips table, partitioned by month of pickup. A month gets a partition when
-- its own file is loaded; pickups of any other month are in the default partition.
CREATE TABLE IF NOT EXISTS {{ trips | identifier }} (
    unique_row_id uuid NOT NULL,
    filename text NOT NULL,
    {% for column in columns %}
    {{ column.name | identifier }} {{ column.type }}{{ " NOT NULL" if column.required }},
    {% endfor %}
    PRIMARY KEY (unique_row_id, pickup_datetime)
) PARTITION BY RANGE (pickup_datetime);

CREATE TABLE IF NOT EXISTS {{ other | identifier }}
PARTITION OF {{ trips | identifier }} DEFAULT;
