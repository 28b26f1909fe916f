"""A session of Spark: its Java process, started and ended with the work, and kept quiet."""

import importlib.util
import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from luigi_tasks import stopping
from luigi_tasks.errors import SystemicError, TaxiError
from luigi_tasks.texts import printable

if TYPE_CHECKING:
    from pyspark import SparkContext

logger = logging.getLogger("luigi-interface.spark")

#: pyspark 4 came with Python 3.9, and needs 3.11 by now.
OLDEST_PYTHON, OLDEST_JAVA = (3, 11), 17
#: Spark's options unless the settings say otherwise.
DEFAULTS = {
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "WARN",
    # whatever Spark writes to a disk, the function with the settings perhaps
    "spark.io.encryption.enabled": "true",
}
#: The options that Spark itself takes for secrets, and doesn't show.
SECRETS = re.compile("secret|password|token|access[.]?key", re.IGNORECASE)
#: Seconds that a master has to accept a connection, and Java to end.
_CONNECT_TIMEOUT, _END_TIMEOUT = 10, 5
#: A line of Spark's log: its level, and the message after the class.
_LINE = re.compile(r"\S+ \S+ (TRACE|DEBUG|INFO|WARN|ERROR|FATAL) \S+: (.*)")
#: Spark's warning while no executor has room.
_WAITS = "Initial job has not accepted any resources"


def check_requirements() -> None:
    """Refuse to go on without what Spark needs.

    :raises TaxiError: says what is missing, and how to install it.
    """
    if sys.version_info < OLDEST_PYTHON:
        has = ".".join(map(str, sys.version_info[:2]))
        wants = ".".join(map(str, OLDEST_PYTHON))
        raise TaxiError(f"TaxiSpark needs Python {wants} or later, as pyspark does; this is {has}")
    if importlib.util.find_spec("pyspark") is None:
        raise TaxiError("TaxiSpark needs pyspark: pip install luigi-tasks[spark]")
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home, "bin", "java")) if home else shutil.which("java")
    install = f"install Java {OLDEST_JAVA} or later, in Debian openjdk-17-jre-headless"
    if not java or not os.access(java, os.X_OK):
        where = f"JAVA_HOME, {home}, has none" if home else "there is none in PATH"
        raise TaxiError(f"TaxiSpark needs Java, and {where}; {install}")
    printed = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    found = re.search(r'version "(\d+)', printed.stderr)
    if not found or int(found[1]) < OLDEST_JAVA:
        version = f"version {found[1]}" if found else "of no version"
        raise TaxiError(f"TaxiSpark needs Java {OLDEST_JAVA}, and {java} is {version}; {install}")


@contextmanager
def spark_context(
    name: str, master: str, options: Mapping[str, str], python: str
) -> Iterator["SparkContext"]:
    """Start Spark; it is ended with the context, and whatever its executors do.

    :param name: what Spark's pages call it.
    :param master: such as ``local[*]`` or ``spark://host:7077``.
    :param options: Spark's own.
    :param python: the path of the executors' Python.
    :raises SystemicError: it doesn't start.
    """
    from pyspark import SparkConf, SparkContext
    from pyspark.errors import PySparkException
    from pyspark.java_gateway import launch_gateway

    _check_master(master)
    all_options = {**DEFAULTS, **options, "spark.master": master, "spark.app.name": name}
    launched = SparkConf(loadDefaults=False)
    for key, value in all_options.items():
        if not SECRETS.search(key):  # these would be in the list of processes
            launched.set(key, value)
    output: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    chatter = _Chatter()
    with _own_signals(), chatter.of_what_is_launched(output):
        try:
            gateway = launch_gateway(launched, popen_kwargs=output)
        except PySparkException:
            raise SystemicError(f"Spark doesn't start: {chatter.last_line()}") from None
    before = os.environ.get("PYSPARK_PYTHON")
    os.environ["PYSPARK_PYTHON"] = python
    context = None
    try:
        with _own_signals(), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of a pandas that isn't used here
            conf = SparkConf(_jvm=gateway.jvm)
            for key, value in all_options.items():
                conf.set(key, value)
            try:
                context = SparkContext(conf=conf, gateway=gateway)
            except Exception as error:  # noqa: BLE001 - of Java, of py4j, of pyspark
                stopping.check()
                raise SystemicError(f"Spark doesn't start: {first_line(error)}") from None
        yield context
    finally:
        chatter.is_over = True
        os.environ.pop("PYSPARK_PYTHON")
        if before is not None:
            os.environ["PYSPARK_PYTHON"] = before
        with stopping.undisturbed():
            _end(context, gateway)


def first_line(error: BaseException) -> str:
    """The first line of an error, of Java's own if that is what failed."""
    text = str(error)
    java = getattr(error, "java_exception", None)
    if java is not None:
        with suppress(Exception):  # Java may be gone
            text = str(java.getMessage() or java.toString())
    return printable(next(iter(text.strip().splitlines()), type(error).__name__))


def _check_master(master: str) -> None:
    """Find out soon whether a standalone cluster's master answers: Spark would try for a minute."""
    if not master.startswith("spark://"):
        return
    reasons = []
    for address in master.removeprefix("spark://").split(","):
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), _CONNECT_TIMEOUT).close()
            return
        except ValueError:
            raise TaxiError(f"[spark] master: {master!r} must be like spark://host:7077") from None
        except OSError as error:
            reasons.append(f"{address}: {error.strerror or error}")
    raise SystemicError(f"[spark] master: no master answers at {'; '.join(reasons)}")


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep this process's handling of signals, where Spark's would take its place."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in stopping.SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(context: "SparkContext | None", gateway: Any) -> None:
    """End the session and its Java process, which ends at the end of its standard input, too."""
    from pyspark import SparkContext

    process = gateway.proc
    with suppress(Exception):  # Java may be gone
        if context is not None:
            context.cancelAllJobs()
            context.stop()
    with suppress(Exception):
        gateway.shutdown()
    SparkContext._gateway = SparkContext._jvm = None
    if process is None:  # somebody else's, that PYSPARK_GATEWAY_PORT names
        return
    with suppress(OSError):
        process.stdin.close()
    try:
        process.wait(_END_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class _Chatter:
    """Logs what Spark's Java process prints: at DEBUG, unless someone has to know it."""

    def __init__(self) -> None:
        self.is_over = False
        self._lines: list[str] = []
        self._thread: threading.Thread | None = None

    @contextmanager
    def of_what_is_launched(self, output: dict[str, Any]) -> Iterator[None]:
        """Give the process a pipe to print to, and read that."""
        reading, writing = os.pipe()
        output.update(stdout=writing, stderr=writing)
        self._thread = threading.Thread(target=self._read, args=(os.fdopen(reading, "rb"),))
        self._thread.daemon = True
        self._thread.start()
        try:
            yield
        finally:
            os.close(writing)

    def last_line(self) -> str:
        """The last line of the output of a process that has ended."""
        if self._thread:
            self._thread.join(1)
        return self._lines[-1] if self._lines else "Java ended without a message"

    def _read(self, stream: IO[bytes]) -> None:
        with stream:
            for line in stream:
                text = printable(line.decode(errors="replace").strip())
                if text:
                    self._lines = [text]
                    self._log(text)

    def _log(self, text: str) -> None:
        found = _LINE.match(text)
        if found and found[1] in ("ERROR", "FATAL") and not self.is_over:
            logger.warning("Spark: %s", found[2])
        elif found and _WAITS in found[2] and not self.is_over:
            logger.info("Spark: no executor is free; its master's page shows what there is")
        else:
            logger.debug("Spark: %s", text)
