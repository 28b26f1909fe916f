-- Delete zones that the source no longer has, unless a row refers to them, whatever ON DELETE of
-- its foreign key says. A table that this role may not read may have such a row.
DELETE FROM {{ zones_table | identifier }} AS present
WHERE
    {% for schema_name, table_name, column_name, zone_column, is_readable in references %}
    {% if is_readable %}
    NOT EXISTS (
        SELECT
        FROM {{ (schema_name, table_name) | identifier }} AS referring
        WHERE referring.{{ column_name | identifier }} = present.{{ zone_column | identifier }}
    ) AND -- noqa: LT03
    {% else %}
    FALSE AND -- noqa: LT03
    {% endif %}
    {% endfor %}
    NOT present.location_id = ANY({{ location_ids | value }}::integer[]);
