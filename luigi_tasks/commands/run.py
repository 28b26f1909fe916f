"""Load whatever is due; what cron and timers call."""

import sys

import click


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--dry-run", is_flag=True, help="Show what would be loaded, and load nothing.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[LUIGI'S ARGUMENTS]...")
def run(dry_run: bool, arguments: tuple[str, ...]) -> None:
    """Load whatever is due, of all services.

    That is the task TaxiDue. The other arguments are luigi's, such as --schedule-taxi-types
    green,yellow. The exit codes are those of luigi. Without a terminal nothing is printed unless
    something was loaded, or is wrong.
    """
    from luigi.cmdline import luigi_run

    from luigi_tasks import stopping
    from luigi_tasks.operations import logs, reporting
    from luigi_tasks.tasks import scheduler, worker

    stopping.install()
    logs.install()
    scheduler.install()
    worker.install()
    words = ["--module", "luigi_tasks", "TaxiDue", *arguments]
    if dry_run:
        words.append("--dry-run")
    is_quiet = dry_run or not sys.stderr.isatty()
    if is_quiet and not any(word.startswith("--log-level") for word in arguments):
        words += ["--log-level", "WARNING"]
        if not dry_run:
            reporting.listeners.append(_print_news)
    try:
        luigi_run(words)
    except stopping.Stopped as stopped:  # a KeyboardInterrupt, for which click exits with 1
        raise SystemExit(stopped.code) from None


def _print_news(line: str, has_news: bool) -> None:
    if has_news:
        click.echo(line)
