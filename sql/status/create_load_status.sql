-- Create the view of the state of each month: what status, alarms and metrics ask, without what
-- only the settings know.
CREATE OR REPLACE VIEW {{ load_status_view | identifier }} AS
SELECT -- noqa: disable=LT02,LT05,ST06
    state.taxi_type,
    state.month,
    state.state,
    state.rows_distinct AS trips,
    state.rows_rejected AS rejects,
    state.rows_duplicate AS duplicates,
    loaded.rows_stray AS strays,
    state.seconds,
    state.loaded_at,
    loaded.url,
    loaded.etag,
    loaded.last_modified AS published_at,
    loaded.bytes,
    loaded.sha256,
    state.error,
    coalesce(state.step_at_work, state.step) AS step,
    coalesce(state.host_at_work, state.host) AS host,
    coalesce(state.began_at, state.failed_at) AS since,
    state.deadline,
    state.load_id
FROM (
{{ query }}
) AS state
LEFT JOIN {{ ledger | identifier }} AS loaded ON state.load_id = loaded.load_id;

COMMENT ON VIEW {{ load_status_view | identifier }} IS {{ comment | value }};
{% for name, text in comments.items() %}
COMMENT ON COLUMN {{ load_status_view | identifier }}.{{ name | identifier }} IS {{ text | value }};
{% endfor %}
