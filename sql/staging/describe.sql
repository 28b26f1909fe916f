-- What is known of the staged load, for the merge, which may run elsewhere.
COMMENT ON TABLE {{ staging | identifier }} IS {{ description | value }};
