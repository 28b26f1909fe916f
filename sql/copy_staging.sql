-- Rows of a month, in PostgreSQL's binary format, from the client.
COPY {{ staging | identifier }} (
    {% for column in columns %}
    {{ column.name | identifier }}{{ "," if not loop.last }}
    {% endfor %}
) FROM STDIN WITH (FORMAT BINARY); -- noqa: PRS
