-- Create or alter the role that reads a served warehouse by TCP. Its password arrives hashed.
{% if is_new %}
CREATE ROLE {{ role | identifier }};
{% endif %}
ALTER ROLE {{ role | identifier }} LOGIN PASSWORD {{ hashed | value }};
GRANT pg_read_all_data TO {{ role | identifier }};
