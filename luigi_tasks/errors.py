"""The one exception for a mistake that someone can act on, and how it is shown."""

import logging
import re


class TaxiError(Exception):
    """What was got, what was wanted and what to do about it, in one line."""


class OneLine(logging.Filter):
    """Show a TaxiError as its one line, where Luigi would print a traceback.

    With log level DEBUG the traceback stays.
    """

    #: A traceback that Luigi has made part of a message, and the TaxiError it ends with.
    _TRACEBACK = re.compile(
        r"Traceback \(most recent call last\):.*^luigi_tasks\.errors\.TaxiError: (.*)",
        re.DOTALL | re.MULTILINE,
    )

    def filter(self, record: logging.LogRecord) -> bool:
        if logging.getLogger(record.name).isEnabledFor(logging.DEBUG):
            return True
        error = _taxi_error(record.exc_info[1]) if record.exc_info else None
        if error:
            record.msg = f"{record.getMessage()}: {error}"
            record.args = record.exc_info = None
        elif "Traceback" in str(record.msg):
            found = self._TRACEBACK.search(record.getMessage())
            if found:
                record.msg = record.getMessage()[: found.start()].strip() + " " + found[1].strip()
                record.args = None
        return True


def _taxi_error(error: BaseException | None) -> TaxiError | None:
    """The TaxiError that an exception is, or comes from."""
    while error and not isinstance(error, TaxiError):
        error = error.__cause__ or error.__context__
    return error
