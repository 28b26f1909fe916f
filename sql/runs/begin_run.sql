-- Record that a run began.
INSERT INTO {{ runs_table | identifier }} (
    host,
    pid,
    started_by,
    label,
    command,
    state,
    package_version
)
VALUES (
    {{ run.host | value }},
    {{ run.pid | value }},
    {{ run.started_by | value }},
    {{ run.label | value }},
    {{ run.command | value }},
    'running',
    {{ package_version | value }}
)
RETURNING run_id;
