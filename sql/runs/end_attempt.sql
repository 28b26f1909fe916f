-- Record how an attempt ended.
UPDATE {{ attempts_table | identifier }}
SET
    state = {{ state | value }},
    error = {{ error | value }},
    cause = {{ cause | value }},
    {% if edition %}
    url = {{ edition.url | value }},
    etag = {{ edition.etag | value }},
    last_modified = {{ edition.last_modified | value }},
    bytes = {{ edition.bytes | value }},
    sha256 = {{ edition.sha256 | value }},
    {% endif %}
    settings = {{ settings | value }},
    last_seen_at = now(),
    ended_at = now()
WHERE
    run_id = {{ run_id | value }}
    AND taxi_type = {{ taxi_type | value }}
    AND month = {{ month | value }};
