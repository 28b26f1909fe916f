-- Have the planner know a table's rows. Whoever changes the table isn't waited for.
ANALYZE (SKIP_LOCKED) {{ "ONLY " if is_only }}{{ table | identifier }}; -- noqa: PRS
