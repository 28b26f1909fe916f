"""Whether tests can run Spark, and a cluster for them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench import cluster
from luigi_tasks.errors import TaxiError
from luigi_tasks.runner import spark

#: Java compiles less, which is most of what a short session takes.
FRUGAL = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"


def require() -> None:
    """Skip a test where Spark isn't installed, in CI too, unless LUIGI_TASKS_SPARK=1."""
    try:
        spark.check_requirements()
    except TaxiError as error:
        if os.environ.get("LUIGI_TASKS_SPARK"):
            pytest.fail(f"may not be skipped here: {error}")
        pytest.skip(str(error))


@contextmanager
def started(folder: Path) -> Iterator[cluster.Cluster]:
    """A cluster of two workers, of one core each."""
    require()
    with cluster.cluster(folder, java_options=FRUGAL) as found:
        yield found
