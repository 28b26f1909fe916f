-- Record that the bytes of a load were published again, as another edition.
UPDATE {{ ledger | identifier }}
SET
    url = {{ edition.url | value }},
    etag = {{ edition.etag | value }},
    last_modified = {{ edition.last_modified | value }}
WHERE load_id = {{ load_id | value }};
