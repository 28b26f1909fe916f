-- Give a staging table all that the month's partition has, without attaching it yet. The constraint
-- saves ATTACH from reading the table while it blocks others.
ALTER TABLE {{ staging | identifier }} SET LOGGED;

ALTER TABLE {{ staging | identifier }}
ADD CONSTRAINT pickup_month CHECK (
    pickup_datetime >= {{ start | value }}
    AND pickup_datetime < {{ stop | value }}
);

ALTER TABLE {{ staging | identifier }} ALTER COLUMN filename DROP DEFAULT;

{% for name in numbered %}
ALTER TABLE {{ staging | identifier }} ALTER COLUMN {{ name | identifier }} DROP DEFAULT;

{% endfor %}

ALTER TABLE {{ staging | identifier }}
RENAME CONSTRAINT {{ key | identifier }} TO {{ partition_key | identifier }};

{% if staging[0] != partition[0] %}
ALTER TABLE {{ staging | identifier }} SET SCHEMA {{ partition[0] | identifier }};

{% endif %}
ALTER TABLE {{ (partition[0], staging[1]) | identifier }}
RENAME TO {{ partition[1] | identifier }};

COMMENT ON TABLE {{ partition | identifier }} IS {{ comment | value }};
