-- Grant the loader what a load changes, and the reader what is read. The ledger's past, the names
-- of codes, all definitions and what isn't of this package stay the owner's.
{% if staging_schema in missing %}
CREATE SCHEMA {{ staging_schema | identifier }};

{% endif %}
{% for privilege in database_privileges %}
GRANT {{ privilege }} ON DATABASE {{ database | identifier }}
TO {{ loader | identifier }}, {{ reader | identifier }};

{% endfor %}
{% for each in schemas %}
GRANT USAGE ON SCHEMA {{ each | identifier }}
TO {{ loader | identifier }}, {{ reader | identifier }};

{% endfor %}
GRANT USAGE, CREATE ON SCHEMA {{ staging_schema | identifier }} TO {{ loader | identifier }};

{% for each in tables %}
GRANT SELECT ON TABLE {{ each | identifier }}
TO {{ loader | identifier }}, {{ reader | identifier }};

{% endfor %}
{% for each in changed %}
GRANT INSERT, UPDATE, DELETE ON TABLE {{ each | identifier }} TO {{ loader | identifier }};

{% endfor %}
{% for each in kept %}
GRANT INSERT, UPDATE ON TABLE {{ each | identifier }} TO {{ loader | identifier }};

{% endfor %}
{% for each in default_partitions %}
GRANT SELECT ON TABLE {{ each | identifier }} TO {{ loader | identifier }};

{% endfor %}
GRANT INSERT, UPDATE (url, etag, last_modified) -- noqa: PRS
ON TABLE {{ ledger | identifier }} TO {{ loader | identifier }};

{% for each in functions %}
REVOKE EXECUTE ON FUNCTION {{ each | identifier }} FROM public;

GRANT EXECUTE ON FUNCTION {{ each | identifier }} TO {{ loader | identifier }};

{% endfor %}
