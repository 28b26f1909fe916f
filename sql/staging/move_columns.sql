-- Rename new columns of a staging table, since another month added these names with other types.
{% for (before, _), _ in moved %}
ALTER TABLE {{ staging | identifier }}
RENAME COLUMN {{ before | identifier }} TO {{ ("Moved%d" % loop.index) | identifier }};

{% endfor %}
{% for _, (place, type) in moved %}
ALTER TABLE {{ staging | identifier }} DROP COLUMN IF EXISTS {{ place | identifier }};

ALTER TABLE {{ staging | identifier }}
RENAME COLUMN {{ ("Moved%d" % loop.index) | identifier }} TO {{ place | identifier }};

ALTER TABLE {{ staging | identifier }}
ALTER COLUMN {{ place | identifier }} TYPE {{ type }}
USING {{ place | identifier }}::{{ type }};

{% endfor %}
