-- A month's staging table: like the trips table, made anew, with the fingerprint computed as rows
-- arrive. Unlogged: after a crash of the server it is empty, and no longer counts as staged.
{% from "fingerprint.sql" import fingerprint with context %}
DROP TABLE IF EXISTS {{ staging | identifier }};

CREATE UNLOGGED TABLE {{ staging | identifier }} (
    unique_row_id uuid NOT NULL GENERATED ALWAYS AS (
        {{ fingerprint(columns) | indent(8) }}
    ) STORED,
    filename text NOT NULL DEFAULT {{ filename | value }},
    {% for column in columns %}
    {{ column.name | identifier }} {{ column.type }}
    {{- " NOT NULL" if column.required }}{{ "," if not loop.last }}
    {% endfor %}
);
