-- Copy a month's rows from the client, in PostgreSQL's binary format. This transaction created the
-- table, so the rows are frozen on arrival: no later reader has to mark them as visible, which
-- would log every page.
COPY {{ staging | identifier }} (
    unique_row_id,
    {% for name in names %}
    {{ name | identifier }}{{ "," if not loop.last }}
    {% endfor %}
) FROM STDIN WITH (FORMAT BINARY, FREEZE); -- noqa: PRS
