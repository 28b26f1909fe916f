"""The columns of a trips table as they are in the database, and those that a file brings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from luigi_tasks.catalog import NEW_TYPES
from luigi_tasks.errors import TaxiError
from luigi_tasks.months import Month
from luigi_tasks.tables import Table, TripsTable
from luigi_tasks.warehouse.connection import Cursor
from luigi_tasks.warehouse.sql import rows

#: The most columns that PostgreSQL has in a table or view.
MOST_COLUMNS = 1600
#: What PostgreSQL calls the catalog's types, where it has a longer name for one.
_FULL_TYPES = {"timestamp": "timestamp without time zone"}

#: The target column and its type, by the new column of a file.
TargetColumns = dict[str, tuple[str, str]]


@dataclass(frozen=True)
class TableColumn:
    """A column of a table in the database; ``definition`` creates another one like it.

    ``needs_value``: every row must bring a value for it.
    """

    name: str
    type: str
    definition: str
    number: int
    is_generated: bool
    is_identity: bool
    needs_value: bool

    def can_hold(self, wanted: str) -> bool:
        """Whether values of this type can be inserted."""
        if self.is_generated or self.is_identity:
            return False
        return self.type in (wanted, "text") or (self.type, wanted) == (
            "double precision",
            "bigint",
        )


def columns_of(cursor: Cursor, table: Table) -> list[TableColumn]:
    """A table's columns, in order."""
    return [TableColumn(*facts) for facts in rows(cursor, "tables/columns.sql", table=table)]


def target_columns(new: Mapping[str, str], columns: Sequence[TableColumn]) -> TargetColumns:
    """Where a file's new columns go in a trips table that has these columns.

    A column that exists with another type stays. If it can't hold these values, they get a column
    beside it, whose name has their type.

    :param new: the PostgreSQL type of each new column.
    """
    existing = {column.name: column for column in columns}
    targets: TargetColumns = {}
    for name, wanted in new.items():
        if wanted not in NEW_TYPES:  # it came from a container, perhaps
            raise TaxiError(f"column {name}: its type is {wanted!r}, not of {', '.join(NEW_TYPES)}")
        target = name
        while (target in existing and not existing[target].can_hold(wanted)) or target in dict(
            targets.values()
        ):
            target = f"{target}__{wanted.split()[0]}"
        targets[name] = target, existing[target].type if target in existing else wanted
    return targets


def check_columns(
    trips: TripsTable, month: Month, columns: Sequence[TableColumn], new: TargetColumns
) -> None:
    """Make sure that a month's rows fit into a trips table that has these columns.

    :raises TaxiError: they don't.
    """
    table = f"table {'.'.join(trips.name)}"
    existing = {column.name: column for column in columns}
    selected = trips.taxi_type.columns
    for column in selected:
        wanted = _FULL_TYPES.get(column.type, column.type)
        if existing[column.name].type != wanted or not existing[column.name].can_hold(wanted):
            raise TaxiError(
                f"{table}: column {column.name} is {existing[column.name].definition}, and trips "
                f"need {wanted}; change it back"
            )
    brought = {"unique_row_id", "filename", *(c.name for c in selected), *dict(new.values())}
    for name in [c.name for c in columns if c.needs_value and c.name not in brought]:
        raise TaxiError(
            f"{table}: column {name} is NOT NULL and has no default, so no trip of "
            f"{month.filename} could be stored; give it a DEFAULT, or let it be NULL"
        )
    added = dict(new.values()).keys() - existing.keys()
    shown = len(trips.taxi_type.shown_names)
    if max(c.number for c in columns) + len(added) + shown > MOST_COLUMNS:
        raise TaxiError(
            f"{table}: with the {len(added):,} new columns of {month.filename} it would have "
            f"more than PostgreSQL's {MOST_COLUMNS:,}, those of its view included; [transform] "
            "schema_contract = discard leaves them out"
        )
