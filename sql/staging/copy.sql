-- Rows of a month, in PostgreSQL's binary format, from the client. The table was made by this
-- transaction, so they can be frozen as they arrive: no later reader has to write that they are
-- visible, which would log every page.
COPY {{ staging | identifier }} (
    unique_row_id,
    {% for name in names %}
    {{ name | identifier }}{{ "," if not loop.last }}
    {% endfor %}
) FROM STDIN WITH (FORMAT BINARY, FREEZE); -- noqa: PRS
