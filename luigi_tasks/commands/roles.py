"""Give a warehouse a loader, who may alter nothing, and a reader."""

from datetime import date

import click

from luigi_tasks import config, warehouse
from luigi_tasks.catalog import TAXI_TYPES
from luigi_tasks.commands.settings import setting
from luigi_tasks.errors import TaxiError
from luigi_tasks.months import Month
from luigi_tasks.tables import Warehouse

#: Months whose staging tables have to be in one schema.
_MONTHS = (date(2024, 1, 1), date(2025, 12, 1))


@click.command()
@setting(config.warehouse, "url")
@click.option("--loader", default="taxi_loader", show_default=True, help="Role that loads months.")
@click.option("--reader", default="taxi_reader", show_default=True, help="Role that reads.")
@click.option("--yes", is_flag=True, help="Do it. Without, the statements are only printed.")
def roles(*, loader: str, reader: str, yes: bool) -> None:
    """Give a warehouse a loader, who may alter nothing, and a reader.

    The role in [warehouse] url becomes the owner. With --yes the tables are created, or altered as
    this version wants them, and the roles created or given what they lack. No password is set.
    """
    config.check()
    opened = config.open_warehouse()
    if opened.is_embedded:
        raise TaxiError(
            "[warehouse] url: the embedded warehouse is for one user, who owns it; name a server, "
            "or have others read it by luigi-tasks serve"
        )
    named = warehouse.Roles(loader, reader, _staging_schema(opened))
    if yes:
        warehouse.apply_roles(opened, named)
        click.echo(f"{loader} may load, and {reader} may read")
        return
    statements = warehouse.role_statements(opened, named)
    click.echo("\n".join(["BEGIN;\n", *statements, "COMMIT;"]))
    click.echo("--yes creates the tables and runs these statements", err=True)


def _staging_schema(opened: Warehouse) -> str:
    """The schema of all staging tables.

    :raises TaxiError: there are several.
    """
    months = [Month(taxi_type, month) for taxi_type in TAXI_TYPES for month in _MONTHS]
    schemas = sorted({config.month_tables(opened, month).staging[0] for month in months})
    if len(schemas) > 1:
        raise TaxiError(
            f"[trips] staging_table: names several schemas, such as {' and '.join(schemas[:2])}; a "
            "loader needs all its staging tables in one"
        )
    return schemas[0]
