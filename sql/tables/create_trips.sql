-- A taxi type's table of trips, partitioned by month of pickup. A month gets its partition when its
-- own file is loaded; pickups of any other time wait, or stay, in the default partition.
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
