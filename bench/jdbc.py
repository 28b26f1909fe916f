"""Months by ``DataFrame.write.jdbc``, as a job for Spark: ``python -m bench.jdbc``.

Its standard input is JSON: master, conf, url, user, table, partitions and files.

Each month is read, repartitioned, and appended to one table. A partition is a task of Spark and a
transaction of PostgreSQL.
"""

import json
import sys

#: What all months of green trips can be read as.
COLUMNS = {
    "VendorID": "bigint",
    "lpep_pickup_datetime": "timestamp",
    "lpep_dropoff_datetime": "timestamp",
    "passenger_count": "double",
    "trip_distance": "double",
    "PULocationID": "bigint",
    "DOLocationID": "bigint",
    "fare_amount": "double",
    "total_amount": "double",
}


def main() -> None:
    from pyspark.sql import SparkSession
    from pyspark.sql.functions import col

    given = json.load(sys.stdin)
    builder = SparkSession.builder.master(given["master"]).appName("jdbc")
    for key, value in given["conf"].items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    for file in given["files"]:
        frame = session.read.parquet(file)
        selected = frame.select(*[col(name).cast(kind) for name, kind in COLUMNS.items()])
        selected.repartition(given["partitions"]).write.jdbc(
            given["url"],
            given["table"],
            mode="append",
            properties={"driver": "org.postgresql.Driver", "user": given["user"]},
        )
        print(f"written {file}", flush=True)
    session.stop()


if __name__ == "__main__":
    main()
