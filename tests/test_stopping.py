"""What stops a run stops it: in one line, by its exit code, and with nothing left at work."""

from collections.abc import Iterator
from typing import Any

import pytest
from months import Months, trips

from luigi_tasks import chunks, encoding
from luigi_tasks.errors import TaxiError

on_one_server = pytest.mark.parametrize("server", ["embedded"], indirect=True)


# --- what psycopg2 makes of an error -------------------------------------------------------------


@on_one_server
@pytest.mark.parametrize(
    ("error", "where"),
    [
        (KeyboardInterrupt(), "encoding"),
        (KeyboardInterrupt(), "reading"),
        (SystemExit(7), "encoding"),
        (ZeroDivisionError("a bug"), "encoding"),
        (TaxiError("a mistake"), "encoding"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_breaks_off_a_copy_comes_up_as_it_is(
    months: Months, monkeypatch: pytest.MonkeyPatch, error: BaseException, where: str
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    def encoded(*_: Any, **__: Any) -> Iterator[bytes]:
        yield b"PGCOPY\n"
        raise error

    with monkeypatch.context() as patched:
        if where == "encoding":
            patched.setattr(encoding, "encoded", encoded)
        else:
            patched.setattr(chunks, "bytes", fail, raising=False)
        with pytest.raises(type(error)) as raised:
            months.stage(trips(3))
    assert raised.value is error
    assert months.database.query("SELECT FROM pg_class WHERE relname LIKE '%staging%'") == []
    assert months.load(trips(3)).rows_inserted == 3
