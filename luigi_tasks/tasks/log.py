"""How user errors are logged."""

import logging
import re

from luigi.parameter import ParameterException
from luigi.rpc import RPCError
from luigi.task_register import TaskClassException

from luigi_tasks import stopping
from luigi_tasks.errors import GivenWayError, TaxiError, is_systemic

#: The tasks of months that are for the TLC to publish.
_OURS = re.compile(r"Taxi(Published|Awaited)\(")


class OneLine(logging.Filter):
    """Show a mistake as its one line, where Luigi would print a traceback.

    A mistake is a TaxiError, or a task or parameter that Luigi misses or doesn't know. With log
    level DEBUG the traceback stays. What fails because the run is being stopped isn't shown.
    """

    #: Luigi's message for an error that ends it, such as a wrong value in a flag.
    _UNCAUGHT = "Uncaught exception in luigi"
    #: How Luigi's message begins for a task of others that isn't complete.
    _NO_DATA = "Data for %s does not exist"
    #: Luigi's message when ``luigid`` can't be reached.
    _NO_SCHEDULER = "Failed connecting to remote scheduler %r"
    #: A traceback that Luigi has made part of a message, and the error of ours that it ends with.
    _TRACEBACK = re.compile(
        r"Traceback \(most recent call last\):.*^luigi_tasks\.[\w.]+Error: (.*)",
        re.DOTALL | re.MULTILINE,
    )

    def filter(self, record: logging.LogRecord) -> bool:
        if stopping.came() and (record.exc_info or "Traceback" in str(record.msg)):
            return False
        if str(record.msg).startswith(self._NO_DATA) and _OURS.search(str(record.args)):
            return False  # it has been logged with its reason
        if logging.getLogger(record.name).isEnabledFor(logging.DEBUG):
            return True
        error = _user_error(record.exc_info[1]) if record.exc_info else None
        if error:
            happened, message = record.getMessage(), " ".join(_message(error).split())
            if isinstance(error, GivenWayError):
                record.levelno, record.levelname = logging.WARNING, "WARNING"
            if is_systemic(error):
                message += "; the run ends here, since no other month would fare better"
            record.msg = message if happened == self._UNCAUGHT else f"{happened}: {message}"
            record.args = record.exc_info = None
        elif record.msg == self._NO_SCHEDULER:
            record.msg += "; start luigid there, or set local_scheduler = true"
            record.exc_info = None
        elif "Traceback" in str(record.msg):
            found = self._TRACEBACK.search(record.getMessage())
            if found:
                record.msg = record.getMessage()[: found.start()].strip() + " " + found[1].strip()
                record.args = None
        return True


def _user_error(error: BaseException | None) -> Exception | None:
    """The user error that an exception is, or that caused it."""
    while error is not None:
        if isinstance(error, (TaxiError, ParameterException, TaskClassException, RPCError)):
            return error
        if isinstance(error, OSError) and is_systemic(error):
            return error
        error = error.__cause__ or error.__context__
    return None


def _message(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error)
