"""Start and stop luigid, for its page."""

import sys

import click

from luigi_tasks import config
from luigi_tasks.commands.settings import setting
from luigi_tasks.operations import luigid as operated


@click.command()
@setting(config.storage, "root")
@click.option("--port", type=int, default=8082, show_default=True, help="Its port.")
@click.option(
    "--address",
    default=operated.ADDRESS,
    show_default=True,
    help="Address of this machine in a private network, for other hosts.",
)
@click.argument("what", type=click.Choice(["start", "stop", "status"]))
def luigid(port: int, address: str, what: str) -> None:
    """Start or stop luigid, for several hosts and its page.

    It shares months among runs, and its page shows what runs. It has no password, and listens
    on 127.0.0.1 unless --address names a private network's address. [scheduler] and [resources]
    are those of the luigi.cfg of the folder it is started in. Its state and its log are in
    luigid/ below [storage] root. Runs use it where luigi.cfg says local_scheduler = false, and
    go on without it if it isn't there. The exit code of status is 3 if it doesn't run.
    """
    config.check()
    root = config.storage_root()
    found = operated.running(root)
    if what == "start" and found is None:
        found = operated.start(root, port, address)
        click.echo(f"luigid runs: {found.url}")
    elif what == "stop" and found is not None:
        operated.stop(root, found)
        click.echo("luigid is stopped")
    elif found is None:
        click.echo("luigid doesn't run")
        sys.exit(3 if what == "status" else 0)
    else:
        already = "already" if what == "start" else f"as process {found.pid}"
        answers = "" if found.answers() else ", but doesn't answer"
        click.echo(f"luigid runs {already}: {found.url}{answers}")
