"""Make up a warehouse of 200 months of four services, and measure its report: ``scripts/look``."""

import os
import subprocess
import sys
import time
from contextlib import closing
from datetime import date
from pathlib import Path

import psycopg2
from filled import SIZES, empty, fill
from luigi.configuration import get_config

from luigi_tasks import config, warehouse

PYTHON = sys.executable
QUIET = ["--log-level", "WARNING"]


def main(folder: Path) -> None:
    """Fill the embedded warehouse below a folder, write its report, and print what that took."""
    flags = ["--storage-root", str(folder)]
    get_config().set("storage", "root", str(folder))
    opened = config.open_warehouse()
    warehouse.prepare(opened, "look")
    url = warehouse.url(opened)
    zones = Path(__file__).parents[2] / "shared" / "data" / "lookup"
    if zones.exists():
        places = [
            f"--source-zones-url=file://{zones}/taxi_zone_lookup.csv",
            f"--source-zone-shapes-url=file://{zones}/taxi_zones.zip",
        ]
        luigi = str(Path(PYTHON).with_name("luigi"))
        subprocess.run(
            [luigi, "--module", "luigi_tasks", "TaxiZones", *places, *flags, *QUIET],
            check=True,
        )
    outlines = warehouse.query(opened, "look", "zones/outlines.sql")
    empty(url)
    with closing(psycopg2.connect(url)) as session, session, session.cursor() as cursor:
        cursor.executemany("INSERT INTO zone_outlines VALUES (%s, %s, %s)", outlines)
    for taxi_type in SIZES:
        fill(url, taxi_type, date(2010, 3, 1), 200, gaps=[17, 101])
    with closing(psycopg2.connect(url)) as session:
        session.autocommit = True
        session.cursor().execute("VACUUM ANALYZE")
    began = time.monotonic()
    command = [PYTHON, "-m", "luigi_tasks", "report", *flags]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.monotonic() - began
    if status:
        sys.exit("the report failed")
    memory = used.ru_maxrss / 1e3
    size = (folder / "report.html").stat().st_size
    cpu = used.ru_utime + used.ru_stime
    took = f"{seconds:.1f} s ({cpu:.1f} s of this process's CPU), {memory:,.0f} MB at most"
    print(f"{size:,} bytes in {took}", file=sys.stderr)
    print(folder / "report.html")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
