"""The exceptions for a mistake that someone can act on."""

import errno


class TaxiError(Exception):
    """What was got, what was wanted and what to do about it, in one line."""


class SystemicError(TaxiError):
    """A fault of the machine or the warehouse: any other month would meet it, too."""


#: What a machine hasn't, whatever was to be done: room, writable disks, files, memory.
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
