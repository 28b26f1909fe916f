"""Exceptions that someone can act on."""

import errno
from typing import Any


class TaxiError(Exception):
    """A user error. Its message says on one line what was found, what was wanted, what to do."""


class ContentError(TaxiError):
    """A published file can't be loaded as it is, until another edition of it is published.

    ``edition`` is the file's, where it is known, and ``original`` what it failed by at first, where
    it has failed before and isn't tried again.
    """

    edition: Any = None
    original: str = ""


class PassingError(TaxiError):
    """A source can't be asked, or broke off; another attempt may succeed."""


class GivenWayError(TaxiError):
    """Another run has the month, and this one ends in its favour."""


class SystemicError(TaxiError):
    """A fault of the machine or the warehouse, which any other month would meet as well."""


#: Errors of a machine that is out of space, files or memory, or whose disk fails or is read-only.
_OF_THE_MACHINE = (
    errno.EIO,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
)


def is_systemic(error: BaseException | None) -> bool:
    """Whether an exception is a fault of the machine or the warehouse, or comes from one."""
    while error is not None:
        if isinstance(error, SystemicError):
            return True
        if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
            return True
        error = error.__cause__ or error.__context__
    return False
