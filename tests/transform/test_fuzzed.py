"""What fuzzing begins with, and what it has found, by the functions that are fuzzed."""

import io

import pyarrow.parquet as pq
import pytest

from fuzz import mutations, targets
from fuzz.seeds import seeds

#: Mutations of each Parquet file to begin with.
MUTATIONS = 12
FOUND = {
    "csv": [],
    "json": [b'{"meta": {"view": {"columns": [{"fieldName": "\xf2"}]}}, "data": [["N"]]}'],
    "parquet": [],
    "casting": [b"\x15\x80N\nY\n\x0b\n\xef\xbf\xbd", b"\x01\x03" + bytes(range(32))],
}


@pytest.mark.parametrize("target", targets.TARGETS)
def test_nothing_is_wrong_with(target: str) -> None:
    for data in (*seeds(target), *FOUND[target]):
        targets.TARGETS[target](data)


def test_a_wrong_number_of_rows_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "_count_lines", lambda data: 7)
    with pytest.raises(targets.FindingError, match="2 rows were read of 7"):
        targets.fuzz_csv(seeds("csv")[0])


def test_mutations_of_parquet_can_still_be_opened_now_and_then() -> None:
    """Others than those which flip bytes: these seldom get beyond the footer."""
    opened = 0
    for data in seeds("parquet"):
        for seed in range(MUTATIONS):
            mutated = mutations.mutated(data, 1 << 16, seed, lambda data, most: data[:most])
            try:
                pq.ParquetFile(io.BytesIO(mutated)).close()
                opened += 1
            except OSError:
                pass
    assert opened > MUTATIONS
