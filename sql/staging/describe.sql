-- Store what is known of the staged load, for the merge, which may run on another host.
COMMENT ON TABLE {{ staging | identifier }} IS {{ description | value }};
