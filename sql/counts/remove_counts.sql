-- Delete what a month's file adds to the tables for analysts.
{% for by_file in tables %}
DELETE FROM {{ by_file | identifier }}
WHERE
    trips_table = {{ trips | join('.') | value }}
    AND taxi_type = {{ taxi_type | value }}
    AND file_month = {{ month | value }};

{% endfor %}
DELETE FROM {{ counted_table | identifier }}
WHERE
    trips_table = {{ trips | join('.') | value }}
    AND taxi_type = {{ taxi_type | value }}
    AND month = {{ month | value }};
