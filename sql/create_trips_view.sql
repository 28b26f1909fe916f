-- All trips of all taxi types, by the columns they share.
CREATE OR REPLACE VIEW trips AS
{% for taxi_type, table in tables %}
{{ "UNION ALL" if not loop.first }}
SELECT
    {{ taxi_type | value }}::text AS taxi_type,
    unique_row_id,
    filename,
    {{ comments | map("identifier") | join(",\n    ") }}
FROM {{ table | identifier }}{{ ";" if loop.last }}
{% endfor %}

COMMENT ON VIEW trips IS 'Trips of all taxi types, by the columns they share';
COMMENT ON COLUMN trips.taxi_type IS 'TLC service: yellow or green';
COMMENT ON COLUMN trips.unique_row_id IS 'Fingerprint of the trip';
COMMENT ON COLUMN trips.filename IS 'Published file that the trip came in';
{% for column in comments %}
COMMENT ON COLUMN trips.{{ column | identifier }} IS {{ comments[column] | value }};
{% endfor %}
