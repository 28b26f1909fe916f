-- Delete what the source said of a service's months, of all or of some, when it was last asked.
DELETE FROM {{ seen_table | identifier }}
WHERE
    taxi_type = {{ taxi_type | value }}
    {% if months is not none %}
    AND month = ANY({{ months | value }}::date[])
    {% endif %}
    AND reason = ANY({{ reasons | value }}::text[]);
