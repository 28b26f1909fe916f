{#
The md5 of a trip, as uuid. A column that has a value adds its tag, one byte, and the value in the
binary form of PostgreSQL's wire; a NULL adds nothing. Every such form has a fixed width (text goes
in as its own md5), so no two rows run into each other, and no setting of a session changes it.
#}
{% macro fingerprint(columns) %}
md5(
    {% for column in columns %}
    {{ "|| " if not loop.first }}coalesce({{ tag(column) }} || {{ binary(column) }}, '')
    {% endfor %}
)::uuid
{%- endmacro %}

{% macro tag(column) -%}
'\x{{ "%02x" | format(column.tag) }}'::bytea
{%- endmacro %}

{% macro binary(column) -%}
{% set name = column.name | identifier %}
{% if column.type == "integer" -%}
int4send({{ name }})
{%- elif column.type == "double precision" -%}
float8send({{ name }})
{%- elif column.type == "timestamp" -%}
timestamp_send({{ name }})
{%- elif column.type == "text" -%}
decode(md5({{ name }}), 'hex')
{%- endif %}
{%- endmacro %}
