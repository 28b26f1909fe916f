-- Look up names without a schema in the warehouse's first.
SELECT
    set_config(
        'search_path',
        {{ schema | identifier | value }} || ', ' || current_setting('search_path'),
        FALSE
    ) AS search_path;
