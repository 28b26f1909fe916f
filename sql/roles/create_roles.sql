-- Create the roles that don't exist yet, without a password. The owner becomes a member of the
-- loader, so that it may take over what the loader has staged.
{% if loader in missing %}
CREATE ROLE {{ loader | identifier }} LOGIN;

{% endif %}
{% if reader in missing %}
CREATE ROLE {{ reader | identifier }} LOGIN;

{% endif %}
{% if must_join %}
GRANT {{ loader | identifier }} TO {{ owner | identifier }};

{% endif %}
SELECT set_config('role', {{ owner | value }}, TRUE) AS role;
