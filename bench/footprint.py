"""Parts ``memory`` and ``disk``: the room that a month takes while it is loaded."""

from bench import ours
from bench.bench import Bench, scratch
from bench.inputs import made_up
from bench.report import MEGABYTE, Section, Table, Target, megabytes
from bench.running import run
from bench.sampling import Disk, Memory, size_of
from bench.server import embedded_server, new_storage

MOST_MEGABYTES, MOST_GROWTH, MOST_OF_RAW = 350, 1.2, 3.0
#: Those that work on rows. The others, such as a shell, have their own size whatever is loaded.
WORKERS = ("luigi", "transform", "PostgreSQL session", "PostgreSQL parallel worker")


def measure_memory(bench: Bench) -> list[Section]:
    """Watch all processes while a month is loaded, while one of many more rows is, and while one of
    the service with the most trips is."""
    months = [
        *made_up(bench.data, bench.sizes.rows),
        *made_up(bench.data, bench.sizes.many_rows),
        *made_up(bench.data, bench.sizes.fhvhv_rows, taxi_type="fhvhv"),
    ]
    peaks = []
    for number, month in enumerate(months):
        bench.note(month)
        memory = Memory(bench.server.processes)
        with bench.server.database() as database, scratch() as folder:
            pipeline = ours.Pipeline(month.parquet.parent, folder / "storage", database.url)
            what = f"{month.taxi_type}, {month.rows:,} rows"
            with bench.measurement("memory", what, number) as measurement:
                took = run(pipeline.merge(month), folder=folder, watch=memory.watch)
                measurement.seconds = took.seconds
                measurement.take(took)
                measurement.details = {**memory.peaks, "all at once": memory.peak_of_all}
                peaks.append(measurement.details)
    section = Section("memory", "peaks, in MB; of PostgreSQL without its shared buffers")
    table = Table(["", *(each.what for each in bench.of("memory")), "growth of yellow"])
    few, many, _ = peaks
    growths = {kind: many[kind] / few[kind] for kind in few if kind in many}
    for kind in sorted(growths):
        sizes = (f"{each[kind] / MEGABYTE:.0f}" if kind in each else "" for each in peaks)
        table.rows.append([kind, *sizes, f"{growths[kind]:.2f}x"])
    section.tables.append(table)
    workers = growths.keys() & set(WORKERS)
    largest_size, largest = max(
        (each[kind] / MEGABYTE, kind) for each in peaks for kind in workers & each.keys()
    )
    fastest = max(workers, key=lambda kind: growths[kind])
    section.targets = [
        Target(f"the largest process: {largest}", largest_size, " MB", at_most=MOST_MEGABYTES),
        Target(f"the largest growth: {fastest}", growths[fastest], "x", at_most=MOST_GROWTH),
    ]
    if not bench.server.postmaster:
        section.notes.append("PostgreSQL is left out: its processes can't be seen from here.")
    return [section]


def measure_disk(bench: Bench) -> list[Section]:
    """Watch storage folder and cluster, of an embedded server, while a month is loaded."""
    [month] = made_up(bench.data, bench.sizes.rows)
    bench.note(month)
    with new_storage() as root, embedded_server(root) as server, scratch() as folder:
        cluster = root / "warehouse"
        parts = {name: root / name for name in ("raw", "trips", "work", "rejects")}
        disk = Disk({**parts, "tables": cluster / "base", "pg_wal": cluster / "pg_wal"})
        server.settle()
        before = disk.sizes()
        pipeline = ours.Pipeline(month.parquet.parent, root, server.url)
        with bench.measurement("disk", "ours", 0) as measurement:
            took = run(pipeline.merge(month), folder=folder, watch=disk.watch)
            measurement.seconds = took.seconds
            measurement.take(took)
            server.settle()
            table_size, rows = server.query(
                "SELECT sum(pg_total_relation_size(relid)), (SELECT count(*) FROM yellow_trips) "
                "FROM pg_partition_tree('yellow_trips')"
            )[0]
            left = disk.sizes()
            raw = month.parquet.stat().st_size
            extra = disk.peak_of_all - sum(before.values()) - int(table_size)
            files_left = sum(size_of(folder) for folder in parts.values())
            measurement.details = {
                "peak beyond the table": extra,
                "table": int(table_size),
                "raw file": raw,
                "files left": files_left,
                **{f"peak of {name}": disk.peaks[name] - before[name] for name in before},
                **{f"left of {name}": left[name] - before[name] for name in before},
            }
    section = Section("disk", f"yellow, {month.rows:,} rows")
    table = Table(["", "most", "left after it"])
    for name in before:
        most, rest = (measurement.details[f"{when} of {name}"] for when in ("peak", "left"))
        table.rows.append([name, megabytes(most), megabytes(rest)])
    section.tables.append(table)
    section.notes.append(
        f"The raw file has {megabytes(raw)}. The table ends with {megabytes(int(table_size))}, "
        f"{int(table_size) / rows:.0f} bytes a row, its index included; files that the pipeline "
        f"leaves behind: {megabytes(files_left)}."
    )
    section.targets = [
        Target("beyond the table, of the raw file", extra / raw, "x", at_most=MOST_OF_RAW)
    ]
    return [section]
