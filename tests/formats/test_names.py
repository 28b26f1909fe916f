"""Names of columns, and values, that would hurt in a log, a message or a table."""

import json
from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from raw_files import (
    HEADER,
    ROW,
    Folder,
    as_objects,
    fixture_folder,  # noqa: F401
    green,
)

from luigi_tasks.catalog import GREEN
from luigi_tasks.errors import TaxiError
from luigi_tasks.transform import transform


@pytest.mark.parametrize("count", [1, 24])
def test_names_of_megabytes_are_refused(folder: Folder, count: int) -> None:
    names = [f"{n}{'x' * (3_000_000 // count)}" for n in range(count)]
    pq.write_table(pa.table({name: [1] for name in names}), folder.raw)
    told = folder.refusal()
    assert "it has a column whose name has" in told
    assert len(told) < 300
    folder.raw.write_text(f"{HEADER},{'x' * 900_000}\n{ROW},1\n")
    assert len(folder.refusal()) < 300


FORGING = 'a\n::{"outputs": {"rows_read": 7}}::\r\x1b[31m\x85\u2028\u202e\u00e9'


@pytest.mark.parametrize("contract", ["evolve", "discard", "freeze"])
def test_names_forge_no_line_of_a_log_or_report(folder: Folder, contract: str) -> None:
    trips = as_objects(green(ROW))
    nested = {FORGING: 1, f"{FORGING}2": [1]}
    folder.raw.write_text(json.dumps([{**trips[0], **nested}]))
    words = [[folder.raw], folder.trips, folder.rejects, GREEN, 0]
    if contract == "freeze":
        with pytest.raises(TaxiError) as refused:
            transform(*words, schema_contract=contract)
        assert str(refused.value).isprintable()
        return
    report = transform(*words, schema_contract=contract)
    assert all(map(str.isprintable, [*report.new_columns, *report.unknown_columns]))
    assert len(report.new_columns) + len(report.unknown_columns) == 2


def test_names_that_become_alike_stay_apart_and_short(folder: Folder) -> None:
    marks = [chr(code) for code in range(0x2460, 0x2460 + 60)]
    names = [f"{'long' * 15}{mark}" for mark in marks]
    folder.raw.write_text(json.dumps([{**as_objects(green(ROW))[0], **dict.fromkeys(names, 1)}]))
    new = list(folder.transform().new_columns)
    assert len(set(new)) == 60
    assert max(len(name.encode()) for name in new) <= 43
    assert new[:3] == [f"{'long' * 10}{end}" for end in ("", "_", "_2")]


@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
def test_names_are_printable_and_bounded_in_every_refusal(folder: Folder, form: str) -> None:
    names = [FORGING * 5, *(f"{FORGING}{n}" for n in range(200))]
    write: dict[str, Callable[[list[str]], None]] = {
        "csv": lambda names: folder.raw.write_text(
            ",".join(name.translate({10: 9, 13: 9, 27: 9, 44: 9}) for name in names) + "\n",
            "utf-8",
        ),
        "json": lambda names: folder.raw.write_text(json.dumps(dict.fromkeys(names, 1))),
        "parquet": lambda names: pq.write_table(pa.table({n: [1] for n in names}), folder.raw),
    }
    write[form](names)
    told = folder.refusal()
    assert "not a file of green trips" in told
    assert told.isprintable()
    assert len(told) < 10_000
    write[form]([FORGING, f" {FORGING.upper()}"])
    assert folder.refusal().isprintable()


def test_a_value_is_printable_and_bounded_in_a_refusal(folder: Folder) -> None:
    folder.write(passenger_count=[f"{FORGING}{'x' * 500_000}", "1"], fare_amount=[1, 2])
    told = folder.refusal()
    assert told.isprintable()
    assert len(told) < 1_000
