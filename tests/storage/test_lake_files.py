"""The files of a lake: whole or not there, as engines like them, beside those of others."""

import errno
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from luigi_tasks.checksums import FingerprintSum
from luigi_tasks.errors import TaxiError
from luigi_tasks.months import Month
from luigi_tasks.records import LedgerLoad
from luigi_tasks.storage import Lake, objects, part
from luigi_tasks.storage.part import PartWriter
from luigi_tasks.urls import Url

MONTH = Month("green", date(2024, 1, 1))
FOLDER = "trips/taxi_type=green/month=2024-01"
AT = datetime(2024, 4, 1, tzinfo=timezone.utc)


def load(load_id: int, at: datetime = AT) -> LedgerLoad:
    return LedgerLoad(load_id, at, "https://host/x", None, None, 1, "0" * 64, {})


def batch(count: int, start: datetime = datetime(2024, 1, 1), **columns: Any) -> pa.RecordBatch:
    """Trips, one a minute."""
    ids = [f"{n:032x}" for n in range(count)]
    values = {
        "unique_row_id": [f"{i[:8]}-{i[8:12]}-{i[12:16]}-{i[16:20]}-{i[20:]}" for i in ids],
        "pickup_datetime": pa.array(
            [start + timedelta(minutes=n) for n in range(count)], pa.timestamp("us")
        ),
        "total_amount": [n / 7 for n in range(count)],
        **columns,
    }
    return pa.RecordBatch.from_pydict(values)


def written(path: Path, *batches: pa.RecordBatch) -> PartWriter:
    writer = PartWriter(path)
    writer.begin(batches[0].schema)
    for each in batches:
        writer.write(each)
    writer.close()
    return writer


def publish(lake: Lake, folder: Path, load: LedgerLoad, rows: int = 10, **facts: Any) -> None:
    part = written(folder / "new.parquet", batch(rows))
    lake.publish(MONTH, part, load=load, fingerprints=FingerprintSum(rows, 1, 2), **facts)


def is_complete(lake: Lake, load: LedgerLoad) -> bool:
    return lake.complete_months("green", {MONTH.first_day: load}) == {MONTH.first_day}


@pytest.fixture(params=["folder", "store", "store without PUT"])
def lake(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    if request.param == "folder":
        return Lake(tmp_path / "lake")
    import fsspec

    if request.param == "store without PUT":
        monkeypatch.setattr(objects, "_WITH_PUT", frozenset())
    files = fsspec.filesystem("memory")
    for path in files.find("/"):
        files.rm(path)
    return Lake(Url.parse("memory://bucket/lake/"))


def test_a_month_is_complete_as_of_one_load_only(lake: Lake, tmp_path: Path) -> None:
    assert not is_complete(lake, load(1))
    assert not lake.has(MONTH)
    for number in (1, 2):
        publish(lake, tmp_path, load(number), rows=number)
        assert [is_complete(lake, load(n)) for n in (1, 2, 3)] == [n == number for n in (1, 2, 3)]
    assert not is_complete(lake, load(2, AT + timedelta(seconds=1)))  # another warehouse's
    months = {date(2024, n, 1): load(2) for n in range(1, 13)}
    assert lake.complete_months("green", months) == {MONTH.first_day}
    assert lake.complete_months("yellow", months) == set()
    assert len(lake._objects.sizes(FOLDER)) == 2
    for _ in range(2):
        lake.withdraw(MONTH)
        assert not lake.has(MONTH)
    assert lake._objects.sizes("trips") == {}


def test_what_is_not_ours_stays(lake: Lake, tmp_path: Path) -> None:
    others = [
        f"{FOLDER}/{name}"
        for name in ("part.parquet.bak", "_load-1.json", "x/part.parquet", ".part.parquet.tmp")
    ]
    for name in others:
        lake._objects.write(b"mine", name)
    ours = objects.temporary_name("part.parquet")
    lake._objects.write(b"unfinished", f"{FOLDER}/{ours}")
    publish(lake, tmp_path, load(1))
    assert is_complete(lake, load(1))
    assert f"{FOLDER}/{ours}" not in lake._objects.sizes(FOLDER)
    lake.withdraw(MONTH)
    assert sorted(lake._objects.sizes("trips")) == sorted(others)


def test_who_has_lost_the_lock_writes_nothing_or_no_record(lake: Lake, tmp_path: Path) -> None:
    publish(lake, tmp_path, load(2))
    for calls, is_left in ((1, True), (2, False)):
        remaining = [calls]

        def check(remaining: list[int] = remaining) -> None:
            remaining[0] -= 1
            if not remaining[0]:
                raise TaxiError("lost")

        with pytest.raises(TaxiError, match="lost"):
            publish(lake, tmp_path, load(1), rows=20, check=check)
        assert is_complete(lake, load(2)) == is_left
        assert not is_complete(lake, load(1))


def test_a_file_of_another_size_is_not_the_record_s(lake: Lake, tmp_path: Path) -> None:
    publish(lake, tmp_path, load(1))
    lake._objects.write(b"PAR1", f"{FOLDER}/part.parquet")
    assert not is_complete(lake, load(1))


def test_a_folder_may_be_on_another_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(Path, "rename", fail)
    lake = Lake(tmp_path / "lake")
    publish(lake, tmp_path, load(1))
    assert is_complete(lake, load(1))
    found = pq.read_table(tmp_path / "lake" / FOLDER / "part.parquet", partitioning=None)
    assert found.num_rows == 10


def test_a_folder_that_cannot_be_written_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "lake").write_text("a file")
    lake = Lake(tmp_path / "lake" / "below")
    with pytest.raises(TaxiError, match=r"^\[lake\] url: .*Not a directory"):
        publish(lake, tmp_path, load(1))


# --- the Parquet file -----------------------------------------------------------------------------


def test_engines_can_skip_and_check_what_they_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row groups, statistics, order, zstd, and a checksum of each page."""
    monkeypatch.setattr(part, "GROUP_ROWS", 1000)
    batches = [batch(700, datetime(2024, 1, 1) + timedelta(minutes=700 * n)) for n in range(5)]
    path = tmp_path / "part.parquet"
    assert written(path, *batches).row_groups == 3
    with pq.ParquetFile(path) as file:
        groups = [file.metadata.row_group(n) for n in range(3)]
        assert [group.num_rows for group in groups] == [1400, 1400, 700]
        assert [each.column_index for each in groups[0].sorting_columns] == [1]
        ids, pickups = groups[0].column(0), groups[1].column(1)
        assert (ids.compression, ids.statistics) == ("ZSTD", None)
        assert pickups.statistics.min == datetime(2024, 1, 1) + timedelta(minutes=1400)
        assert pickups.has_column_index
        place = ids.data_page_offset + ids.total_compressed_size // 2
    whole = path.read_bytes()
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    with pytest.raises(OSError, match=r"CRC|[Cc]orrupt|verification"):
        pq.read_table(path, page_checksum_verification=True)


def test_no_column_is_called_like_a_partition(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    columns = {"month": [1], "Taxi_Type": ["x"], "month_of_trip": [2]}
    writer = written(path, batch(1, **columns))
    assert writer.columns[-3:] == ["month_of_trip_of_trip", "Taxi_Type_of_trip", "month_of_trip"]
    assert pq.read_table(path).column("month_of_trip_of_trip").to_pylist() == [1]


def test_a_large_batch_is_a_row_group_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that memory stays bounded, whatever columns there are."""
    monkeypatch.setattr(part, "GROUP_BYTES", 10_000)
    wide = batch(10, note=["x" * 2000] * 10)
    assert written(tmp_path / "part.parquet", wide, wide, batch(1, note=[""])).row_groups == 3
