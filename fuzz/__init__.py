"""Fuzzing of what reads published files, by atheris: ``scripts/fuzz``.

Its parts change single values of Parquet files for tests as well.
"""
