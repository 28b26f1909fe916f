"""Tables and views as this version and the settings want them, before a month is loaded."""

from collections.abc import Iterable, Sequence
from importlib.metadata import version

from luigi_tasks.catalog import LOOKUPS, TAXI_TYPES, TaxiType
from luigi_tasks.errors import SystemicError, TaxiError
from luigi_tasks.tables import Table, TripsTable, Warehouse
from luigi_tasks.warehouse import features, migrations
from luigi_tasks.warehouse.connection import Cursor
from luigi_tasks.warehouse.locks import DDL, with_lock_timeout
from luigi_tasks.warehouse.partitions import check_partition
from luigi_tasks.warehouse.relations import (
    Relation,
    create,
    create_schemas,
    drop,
    find,
    foreign,
    missing_schemas,
    rights_kept,
)
from luigi_tasks.warehouse.session import labelled_cursor, transaction, with_retries
from luigi_tasks.warehouse.sql import execute, own_tables, quoted, rows
from luigi_tasks.warehouse.views import (
    ALL_TRIPS_COMMENT,
    LOAD_STATUS_COMMENT,
    create_load_status,
    create_views,
    drop_views,
    named_comment,
)

#: Precedes the selected columns, in the comment of a table that hasn't all of them.
_SELECTED = ". Columns kept: "


def prepare(warehouse: Warehouse, label: str, *schemas: str) -> None:
    """Create or alter whatever tables and views this version and the settings want.

    That is a transaction of its own, since nobody can read a view from then until its end. Mostly
    nothing is to be done, and a look finds that out without waiting for whoever changes a table.

    :param schemas: further ones that are needed.
    :raises SystemicError: what exists can't be used, whatever the month.
    """
    try:
        with transaction(warehouse, label) as cursor:
            is_complete = _make_sure(cursor, must_only_look=True)
            _refuse_another_owner(cursor, is_complete=is_complete)
            is_complete = is_complete and not missing_schemas(cursor, schemas)
        if not is_complete:
            with transaction(warehouse, label, DDL) as cursor:
                create_schemas(cursor, schemas)
                with_lock_timeout(cursor, lambda: _make_sure(cursor))
    except TaxiError as error:
        if type(error) is TaxiError:
            raise SystemicError(str(error)) from None
        raise


def _refuse_another_owner(cursor: Cursor, *, is_complete: bool) -> None:
    """Make sure that this session's role owns the tables, or may load though it doesn't.

    :raises SystemicError: it doesn't, and may not, or the tables are to be altered.
    """
    for role, owner, may_load in rows(cursor, "roles/refused_by_owner.sql"):
        if not may_load:
            raise SystemicError(
                f"the tables of the warehouse belong to role {owner}, and {role} may not load: "
                f"connect as {owner}, or have that one run luigi-tasks roles --loader {role} --yes"
            )
        if not is_complete:
            raise SystemicError(
                f"luigi-tasks {version('luigi-tasks')} needs other tables than the warehouse has, "
                f"and only their owner may alter them: have {owner} run luigi-tasks roles --yes"
            )


def _make_sure(cursor: Cursor, *, must_only_look: bool = False) -> bool:
    """Create whatever of tables, columns and views is missing; alter the rest if a later version
    than the last one runs. What a later version created stays as it is.

    :returns: whether nothing was to be done.
    :raises TaxiError: something of somebody else's has one of the names; then nothing is changed.
    """
    warehouse = cursor.warehouse
    all_trips = list(warehouse.trips.values())
    wanted, others = wanted_relations(warehouse), {trips.other for trips in all_trips}
    found = find(cursor, [*wanted, *others])
    for table, relation in found.items():
        if table in wanted and not relation.is_like(*wanted[table]):
            raise foreign(cursor, relation, table)
    for trips in all_trips:
        check_partition(cursor, trips.name, trips.other)
    last = migrations.read_version(cursor, found)
    outdated = _with_other_columns(cursor, found)
    redefined = set() if last.is_newer else features.outdated(warehouse, found)
    lacking = _lacking_columns(cursor, found.keys() - outdated)
    refuse_other_ledgers(cursor, [trips.name for trips in all_trips if trips.name in found])
    gone = outdated | {trips.other for trips in all_trips if trips.name in outdated}
    if outdated:
        gone |= {table for table, (kind, _) in wanted.items() if kind == "v"}
    missing = {*wanted, *others} - (found.keys() - gone)
    is_complete = not (missing or lacking or redefined or last.is_older)
    if is_complete or must_only_look:
        return is_complete
    with rights_kept(cursor, found):
        if outdated:
            drop_views(cursor)
            for table in outdated:
                drop(cursor, "tables/drop_trips.sql", trips=table)
        create_schemas(cursor, {schema for schema, _ in missing})
        migrations.migrate(cursor, last, found)
        if not last.is_newer:
            execute(cursor, "tables/fill_lookups.sql", lookups=LOOKUPS)
        due = {*wanted, *others} if last.is_older else missing | lacking.keys()
        for trips in all_trips:
            if due & {trips.name, trips.other}:
                _create_trips(cursor, trips, lacking.get(trips.name, []))
        create_views(cursor, due, may_drop=not last.is_newer)
        views = {table for table, (kind, _) in wanted.items() if kind == "v"}
        features.create_features(cursor, missing | redefined | (due & views))
        if own_tables(warehouse)["load_status_view"] in due:
            create_load_status(cursor)
        migrations.record_version(cursor, last)
    return False


def _create_trips(cursor: Cursor, trips: TripsTable, lacking: Sequence[str]) -> None:
    """Create a taxi type's table, or add the columns that one of an earlier version lacks."""
    columns = trips.taxi_type.columns
    names = {"trips": trips.name, "other": trips.other, "columns": columns}
    create(cursor, trips.name, "tables/create_trips.sql", **names)
    if added := [column for column in columns if column.name in lacking]:
        execute(cursor, "tables/add_columns.sql", table=trips.name, columns=added)
    comment = _comment(trips.taxi_type)
    execute(cursor, "tables/comment_trips.sql", comment=comment, **names)


def wanted_relations(warehouse: Warehouse) -> dict[Table, tuple[str, str]]:
    """The names that we need, with the kind of relation and the beginning of its comment where ours
    is recognised by it. Trips tables and Luigi's markers are recognised by their columns."""
    trips = warehouse.trips.values()
    control = migrations.control_tables(warehouse)
    return {
        **{table: ("r", comment) for table, comment in control.items()},
        **{each.name: ("p", "") for each in trips},
        **{each.named_view: ("v", named_comment(each.taxi_type)) for each in trips},
        own_tables(warehouse)["trips_view"]: ("v", ALL_TRIPS_COMMENT),
        own_tables(warehouse)["load_status_view"]: ("v", LOAD_STATUS_COMMENT),
        **features.relations(warehouse),
    }


# --- ledgers in other schemas -----------------------------------------------------------------


def look_for_ledger(warehouse: Warehouse, taxi_type: str) -> None:
    """Before a taxi type counts as not loaded at all: refuse a ledger in another schema."""

    def look() -> None:
        with labelled_cursor(warehouse, f"ledger of {taxi_type}") as cursor:
            existing = find(cursor, [warehouse.trips[taxi_type].name])
            refuse_other_ledgers(cursor, list(existing))

    with_retries(warehouse, look)


def refuse_other_ledgers(cursor: Cursor, tables: Sequence[Table]) -> None:
    """Make sure that no trips table with rows was loaded by a ledger in another schema.

    :raises TaxiError: one was.
    """
    comment = migrations.LEDGER_COMMENT
    elsewhere = rows(cursor, "tables/other_ledgers.sql", comment=comment)
    if not elsewhere or not tables:
        return
    with_rows = {relation for (relation,) in rows(cursor, "tables/with_rows.sql", tables=tables)}
    loaded = {".".join(table) for table in tables if quoted(cursor, table) in with_rows}
    ledger, file = own_tables(cursor.warehouse)["ledger"], "tables/loaded_tables.sql"
    if find(cursor, [ledger]):
        loaded -= {name for (name,) in rows(cursor, file, names=list(loaded))}
    for (schema,) in elsewhere:
        names = {"ledger": (schema, ledger[1]), "names": list(loaded)}
        for (table,) in rows(cursor, file, **names):
            raise TaxiError(
                f"table {table} was loaded by the ledger in schema {schema}, and [warehouse] "
                f"schema is {ledger[0]}: set it to {schema}, or name other tables in [trips] table"
            )


# --- selected columns -------------------------------------------------------------------------


def refuse_other_columns(trips: TripsTable, comments: Iterable[str | None]) -> None:
    """Make sure that a table with rows has the columns that ``[transform] columns`` selects.

    :param comments: the table's, or None where it has no rows.
    :raises TaxiError: it was loaded with others.
    """
    wanted = _selected_by(_comment(trips.taxi_type))
    for before in (_selected_by(comment) for comment in comments if comment is not None):
        if before != wanted:
            raise TaxiError(
                f"table {'.'.join(trips.name)} was loaded with "
                f"{before or 'all columns'}, and [transform] columns is now "
                f"{wanted or 'empty, for all'}: set it back, or name other tables in [trips] "
                "table, or drop this one to load its months again"
            )


def _with_other_columns(cursor: Cursor, found: dict[Table, Relation]) -> set[Table]:
    """The tables that another ``[transform] columns`` created, and that are empty: they may go.

    :raises TaxiError: one of them has rows, or isn't ours.
    """
    outdated = set()
    for trips in cursor.warehouse.trips.values():
        if trips.name not in found:
            continue
        comment = found[trips.name].comment
        if _selected_by(comment) == _selected_by(_comment(trips.taxi_type)):
            continue
        if rows(cursor, "tables/with_rows.sql", tables=[trips.name]):
            refuse_other_columns(trips, [comment])
        if not found[trips.name].is_like("p", trips.taxi_type.comment):
            raise foreign(cursor, found[trips.name], trips.name)
        outdated.add(trips.name)
    return outdated


def _lacking_columns(cursor: Cursor, tables: Iterable[Table]) -> dict[Table, list[str]]:
    """The columns that trips tables of an earlier version lack.

    :raises TaxiError: a table lacks one that every version's has.
    """
    columns = {
        own_tables(cursor.warehouse)["marker_table"]: ["update_id", "target_table", "inserted"]
    }
    addable: dict[Table, set[str]] = {}
    for trips in cursor.warehouse.trips.values():
        own = trips.taxi_type.columns
        columns[trips.name] = ["unique_row_id", "filename", *(column.name for column in own)]
        addable[trips.name] = {column.name for column in own if not column.identifies}
    existing = {quoted(cursor, table): table for table in tables if table in columns}
    if not existing:
        return {}
    wanted = [(table, columns[table]) for table in existing.values()]
    lacking: dict[Table, list[str]] = {}
    for relation, column in rows(cursor, "tables/missing_columns.sql", wanted=wanted):
        table = existing[relation]
        if column not in addable.get(table, ()):
            raise foreign(cursor, find(cursor, [table])[table], table, f": it lacks {column}")
        lacking.setdefault(table, []).append(column)
    return lacking


def _comment(taxi_type: TaxiType) -> str:
    """A table's comment, which lists the selected columns unless all are."""
    if taxi_type == TAXI_TYPES[taxi_type.name]:
        return taxi_type.comment
    return f"{taxi_type.comment}{_SELECTED}{', '.join(each.name for each in taxi_type.columns)}"


def _selected_by(comment: str) -> str:
    """The columns that a table's comment lists; empty for all."""
    return comment.partition(_SELECTED)[2]
