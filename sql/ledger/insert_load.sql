-- Insert a load's row into the ledger, and return its number.
INSERT INTO {{ ledger | identifier }} (
    {% for name in load %}
    {{ name | identifier }}{{ "," if not loop.last }}
    {% endfor %}
)
VALUES (
    {% for name in load %}
    {{ load[name] | value }}{{ "," if not loop.last }}
    {% endfor %}
)
RETURNING load_id;
