"""Luigi's command line in forks of a Python that has imported all of it.

    python -m torture.worker DESCRIPTOR

takes orders from a socket, as tests/forks.py does. Where the environment has TORTURE_SHARES, the
transform is forked from one process for all runs. What is done, and how often, is as always; only
the pauses between two attempts, and how long a connection is waited for, are tenths of a second
where they are seconds. No garbage is collected, and Luigi's parser of flags is made once.
"""

from __future__ import annotations

import functools
import gc
import importlib
import os
import socket
import sys
from typing import Any

from forks import serve

#: The variable that has all runs share the process that transforms are forked from.
SHARES = "TORTURE_SHARES"
#: What is imported before the first fork: Luigi first, so that this project registers its tasks.
IMPORTED = (
    *(
        "luigi.cmdline",
        "luigi.retcodes",
        "luigi.tools.range",
        "luigi.contrib.postgres",
        "luigi_tasks",
    ),
    *(
        "requests",
        "tenacity",
        "psycopg2.extras",
        "pgpq",
        "jinja2.sandbox",
        "psutil",
        "rich.console",
    ),
    *("numpy.ma", "pyarrow.parquet", "pyarrow.csv", "pyarrow.compute", "multiprocessing.queues"),
    *("luigi_tasks.source.http", "luigi_tasks.source.local", "luigi_tasks.formats"),
    *(
        "luigi_tasks.warehouse.encoding",
        "luigi_tasks.warehouse.counting",
        "luigi_tasks.storage.part",
    ),
    *("luigi_tasks.warehouse.decoding", "luigi_tasks.transform", "luigi_tasks.transform.command"),
    *(
        "luigi_tasks.transform.files",
        "luigi_tasks.operations.reporting",
        "luigi_tasks.status.loads",
    ),
)


def main() -> None:
    channel = socket.socket(fileno=int(sys.argv[1]))
    prepare()
    from luigi.cmdline import luigi_run
    from luigi.cmdline_parser import CmdlineParser

    from luigi_tasks.runner.forks import ForkServer

    environment = {name: os.environ[name] for name in ("PATH", "PYTHONPATH")}
    _transforms.append(ForkServer("luigi_tasks.transform", sys.executable, environment, ""))
    words = serve(channel, CmdlineParser)  # whose flags are parsed before the fork
    if os.environ.pop(SHARES, ""):
        _share_transforms()
    luigi_run(words)


def prepare() -> None:
    """Import what a run imports, and shorten its pauses."""
    for name in IMPORTED:
        importlib.import_module(name)

    import psycopg2
    from luigi import Parameter, Task
    from luigi.cmdline_parser import CmdlineParser

    from luigi_tasks import network
    from luigi_tasks.warehouse import session
    from luigi_tasks.warehouse.sql import load_sql

    load_sql()
    network.BACKOFF, network.BACKOFF_MAX = 0.02, 0.1
    session.BACKOFF, session.BACKOFF_MAX = 0.05, 0.5
    connect = psycopg2.connect

    def connect_soon(*words: Any, **names: Any) -> Any:
        if "connect_timeout" in names:
            names["connect_timeout"] = 2  # libpq takes no shorter one
        return connect(*words, **names)

    psycopg2.connect = connect_soon
    build = functools.lru_cache(None)(CmdlineParser._build_parser)
    CmdlineParser._build_parser = staticmethod(build)  # type: ignore[method-assign]
    CmdlineParser.__init__ = _parse_once(CmdlineParser.__init__)  # type: ignore[method-assign]
    # settings don't change while a run lasts, but are read some four hundred times
    cached: Any = functools.lru_cache(None)
    Parameter._get_value = cached(Parameter._get_value)  # type: ignore[method-assign]
    Task.get_params = classmethod(cached(Task.get_params.__func__))  # type: ignore[method-assign,assignment,attr-defined]
    gc.collect()
    gc.disable()
    gc.freeze()


#: The process that transforms are forked from.
_transforms: list[Any] = []
_parsed: dict[tuple[str, ...], Any] = {}


def _parse_once(parse: Any) -> Any:
    def parsed(parser: Any, words: list[str]) -> None:
        if tuple(words) not in _parsed:
            parse(parser, words)
            _parsed[tuple(words)] = parser.known_args
        parser.known_args = _parsed[tuple(words)]

    return parsed


def _share_transforms() -> None:
    """Have the transform forked from one process for all runs, where each would start its own."""
    from luigi_tasks.runner import process

    server = _transforms[0]
    process._server = lambda key: server


if __name__ == "__main__":
    main()
