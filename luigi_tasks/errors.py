"""Exceptions that someone can act on."""

import errno


class TaxiError(Exception):
    """A user error. Its message says on one line what was found, what was wanted, what to do."""


class SystemicError(TaxiError):
    """A fault of the machine or the warehouse, which any other month would meet as well."""


#: Errors of a machine that is out of space, files or memory, or whose disk is read-only.
_LACKING = (
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
        if isinstance(error, OSError) and error.errno in _LACKING:
            return True
        error = error.__cause__ or error.__context__
    return False
