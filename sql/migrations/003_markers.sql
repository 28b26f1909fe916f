-- Create Luigi's table of markers. One that other pipelines created isn't changed.
CREATE TABLE IF NOT EXISTS {{ marker_table | identifier }} (
    update_id text PRIMARY KEY,
    target_table text,
    inserted timestamp DEFAULT now()
);

{% if owns_markers %}
COMMENT ON TABLE {{ marker_table | identifier }} IS {{ markers_comment | value }};
COMMENT ON COLUMN {{ marker_table | identifier }}.update_id IS 'Task, taxi type and month';
COMMENT ON COLUMN {{ marker_table | identifier }}.target_table IS 'Table that was written';
COMMENT ON COLUMN {{ marker_table | identifier }}.inserted IS 'When it was committed';
{% endif %}
