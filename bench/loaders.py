"""What Python's libraries do with a month. Each is a command of its own:

python -m bench.loaders {dlt,pandas,pandas_on_conflict,copy_to_table} FILE

into the database of the URL in BENCH_URL, by PGPASSWORD if it is set.
"""

import argparse
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import psycopg2.extensions

TABLE = "trips"


def load_with_dlt(file: Path) -> None:
    """dlt's merge, in its fastest form that needs no further drivers.

    Fair to it: the key is in the file already, made before the clock started, where a user of dlt
    would have it made row by row; rows come as Arrow tables, which dlt doesn't look into; files
    between its steps are CSV, for COPY, where its default would be INSERT. The key is declared
    unique, and the strategy is dlt's default, delete-insert.
    """
    import dlt
    import pyarrow as pa
    import pyarrow.parquet as pq

    def tables() -> Iterator[Any]:
        with pq.ParquetFile(file) as opened:
            for batch in opened.iter_batches(100_000):
                yield pa.Table.from_batches([batch])

    facts = _facts()
    credentials = {
        "database": facts["dbname"],
        "username": facts["user"],
        "password": facts.get("password") or "none",
        "host": "localhost",
        "port": int(facts.get("port", 5432)),
        "query": {"host": facts["host"]},  # a socket's folder, too
    }
    pipeline = dlt.pipeline(
        "bench",
        pipelines_dir=str(Path.cwd() / "pipelines"),
        destination=dlt.destinations.postgres(credentials=credentials),
        dataset_name="dlt",
    )
    resource = dlt.resource(
        tables(), name=TABLE, write_disposition="merge", primary_key="unique_row_id"
    )
    pipeline.run(resource, loader_file_format="csv").raise_on_failed_jobs()


def load_with_pandas(file: Path) -> None:
    """pandas as its tutorials have it, with its default method, and no key at all."""
    import pandas as pd
    import sqlalchemy

    engine = sqlalchemy.create_engine(
        "postgresql+psycopg2://", creator=lambda: psycopg2.connect(os.environ["BENCH_URL"])
    )
    trips = pd.read_parquet(file)
    trips.to_sql(TABLE, engine, if_exists="append", index=False, chunksize=100_000)


def load_with_pandas_on_conflict(file: Path) -> None:
    """pandas as its documentation has it for rows that may be there: a method that leaves them.

    Fair to it: the key is in the file already. The table has it as its primary key.
    """
    import pandas as pd
    import sqlalchemy
    from sqlalchemy.dialects.postgresql import insert

    def insert_on_conflict_nothing(
        table: Any, session: Any, keys: list[str], rows: Iterable[tuple[Any, ...]]
    ) -> int:
        values = [dict(zip(keys, row, strict=True)) for row in rows]
        statement = insert(table.table).on_conflict_do_nothing(index_elements=["unique_row_id"])
        done = session.execute(statement, values)
        return int(done.rowcount)

    engine = sqlalchemy.create_engine(
        "postgresql+psycopg2://", creator=lambda: psycopg2.connect(os.environ["BENCH_URL"])
    )
    trips = pd.read_parquet(file)
    create = pd.io.sql.get_schema(trips, TABLE, keys="unique_row_id", con=engine)  # type: ignore[attr-defined]
    with engine.begin() as session:
        session.execute(
            sqlalchemy.text(create.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS"))
        )
    trips.to_sql(
        TABLE,
        engine,
        if_exists="append",
        index=False,
        chunksize=100_000,
        method=insert_on_conflict_nothing,
    )


def load_with_copy_to_table(file: Path) -> None:
    """Luigi's own task, given the same rows; no key either."""
    import luigi
    import pyarrow.parquet as pq
    from luigi.contrib.postgres import CopyToTable

    from luigi_tasks.catalog import YELLOW

    facts = _facts()

    class CopyTrips(CopyToTable):
        host, database = facts["host"], facts["dbname"]
        user, password = facts["user"], facts.get("password")
        port = facts.get("port", 5432)
        table = TABLE
        update_id = file.name
        columns = [(column.name, column.type) for column in YELLOW.columns]

        def rows(self) -> Iterator[list[Any]]:
            with pq.ParquetFile(file) as opened:
                published = YELLOW.match(opened.schema_arrow.names).columns
                for batch in opened.iter_batches(65_536):
                    nothing = [None] * batch.num_rows
                    values = [
                        batch.column(published[column.name]).to_pylist()
                        if column.name in published
                        else nothing
                        for column in YELLOW.columns
                    ]
                    yield from map(list, zip(*values, strict=True))

    if not luigi.build([CopyTrips()], local_scheduler=True, log_level="WARNING"):
        sys.exit("CopyToTable failed")


LOADERS = {
    "dlt": load_with_dlt,
    "pandas": load_with_pandas,
    "pandas_on_conflict": load_with_pandas_on_conflict,
    "copy_to_table": load_with_copy_to_table,
}


def environment(url: str, folder: Path) -> dict[str, str]:
    """What a loader reads of the environment, to load into the database of a URL."""
    return {
        "BENCH_URL": url,
        # nothing is told to anybody, and no file of this user's is read
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        "DLT_DATA_DIR": str(folder / "dlt"),
    }


def _facts() -> dict[str, Any]:
    """The parts of the URL, as libpq understands it."""
    facts = psycopg2.extensions.parse_dsn(os.environ["BENCH_URL"])
    password = os.environ.get("PGPASSWORD")
    return {"host": "localhost", "user": "postgres", "password": password, **facts}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.loaders", description=__doc__)
    parser.add_argument("loader", choices=LOADERS)
    parser.add_argument("file", type=Path)
    options = parser.parse_args()
    LOADERS[options.loader](options.file)


if __name__ == "__main__":
    main()
