-- Gather statistics of a table, without waiting for whoever changes it.
ANALYZE (SKIP_LOCKED) {{ "ONLY " if is_only }}{{ table | identifier }}; -- noqa: PRS
