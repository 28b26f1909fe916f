"""The rows of a query as a pandas DataFrame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing, nullcontext
from datetime import timezone
from typing import Any

import psycopg2

from luigi_tasks.errors import TaxiError
from luigi_tasks.tables import Warehouse
from luigi_tasks.warehouse import embedded
from luigi_tasks.warehouse.connection import Cursor, url
from luigi_tasks.warehouse.sql import execute

#: PostgreSQL's numbers of types, by what their columns become.
_BOOLEAN, _INTEGERS, _FLOATS = {16}, {20, 21, 23, 26}, {700, 701, 1700}
_DATE, _TIMESTAMP, _TIMESTAMPTZ, _INTERVAL = 1082, 1114, 1184, 1186


def read_frame(
    warehouse: Warehouse,
    statement: str,
    values: Sequence[Any] | Mapping[str, Any] | None = None,
    *,
    read_only: bool = True,
) -> Any:
    """The rows of a statement as a pandas DataFrame; none if it returns none.

    What it changes is committed.

    :raises TaxiError: pandas isn't installed.
    :raises psycopg2.Error: PostgreSQL refuses the statement.
    """
    try:
        import pandas as pd
    except ImportError:
        raise TaxiError("a DataFrame needs pandas: pip install luigi-tasks[notebook]") from None
    address = url(warehouse)
    with embedded.no_libpq_variables() if warehouse.is_embedded else nullcontext():
        session = psycopg2.connect(
            address, application_name="luigi_tasks.query", client_encoding="UTF8"
        )
    with closing(session), session, session.cursor(cursor_factory=Cursor) as cursor:
        session.set_session(readonly=read_only)
        cursor.warehouse, cursor.label = warehouse, "luigi_tasks.query"
        execute(cursor, "session/use_schema.sql")
        cursor.execute(statement, values)
        if cursor.description is None:
            return pd.DataFrame()
        rows = cursor.fetchall()
        columns = list(zip(*rows, strict=True)) or [()] * len(cursor.description)
        series = [
            _series(list(column), described.type_code)
            for column, described in zip(columns, cursor.description, strict=True)
        ]
        frame = pd.DataFrame(dict(enumerate(series)))
        frame.columns = pd.Index([described.name for described in cursor.description])
        return frame


def _series(values: list[Any], type_code: int) -> Any:
    """A column's values, by the number of their type.

    Whole numbers and truth values with NULLs get pandas' types that know of these, text is as
    pandas has it, and the rest stays as psycopg2 has it.
    """
    import numpy as np
    import pandas as pd

    has_nulls = None in values
    if type_code in _BOOLEAN:
        return pd.Series(values, dtype="boolean" if has_nulls else "bool")
    if type_code in _INTEGERS:
        return pd.Series(values, dtype="Int64" if has_nulls else "int64")
    if type_code in _FLOATS:
        return pd.Series([np.nan if v is None else float(v) for v in values], dtype="float64")
    if type_code == _TIMESTAMPTZ:  # numpy knows no zones
        naive = [v and v.astimezone(timezone.utc).replace(tzinfo=None) for v in values]
        return pd.Series(np.array(naive, "datetime64[us]")).dt.tz_localize("UTC")
    units = {_DATE: "datetime64[s]", _TIMESTAMP: "datetime64[us]", _INTERVAL: "timedelta64[us]"}
    if type_code in units:
        return pd.Series(np.array(values, units[type_code]))
    return pd.Series(values) if values else pd.Series(values, dtype="object")
