"""Errors of PostgreSQL that a person can mend, as one line with what to do about it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
import psycopg2.errors

from luigi_tasks.errors import SystemicError, TaxiError
from luigi_tasks.tables import Warehouse

#: Codes of what every statement meets: no connection, no role, no room, no database, a broken disk.
_SYSTEMIC = re.compile("08|28|3D|53|57P|58|25006")
#: Codes of what may succeed on another attempt: the server stops, crashed or starts; or
#: transactions waited for each other.
_TRANSIENT = re.compile("08|40|57P0[1235]")
#: Rows that we encoded wrongly are refused with these.
_BROKEN_COPY = {"22P03", "22P04"}


class TransientError(SystemicError):
    """The warehouse can't be reached, or broke the connection; another attempt may succeed."""


class UnansweredCommitError(TransientError):
    """The connection broke before a COMMIT was answered.

    :param transaction: the number of the transaction, None if it had changed nothing.
    """

    def __init__(self, message: str, transaction: str | None) -> None:
        super().__init__(message)
        self.transaction = transaction


class LostLockError(TransientError):
    """This run has lost its lock with its connection; whatever it has begun is to be done anew."""


@contextmanager
def plain_errors(warehouse: Warehouse) -> Iterator[None]:
    """Turn what a person can mend into one line; the rest stays psycopg2's exception."""
    try:
        yield
    except psycopg2.errors.InsufficientPrivilege as error:
        raise SystemicError(
            f"the warehouse refuses: {first_line(error)}; the role in [warehouse] url needs "
            "CREATE on the schemas of [trips] and on [warehouse] schema (on the database, if "
            "they don't exist), TEMPORARY on the database, and must own the tables that exist, or "
            "be the loader of luigi-tasks roles"
        ) from None
    except (
        psycopg2.errors.UntranslatableCharacter,
        psycopg2.errors.CharacterNotInRepertoire,
    ) as error:
        raise TaxiError(_untranslatable(error)) from None
    except (
        psycopg2.errors.ForeignKeyViolation,
        psycopg2.errors.CheckViolation,
        psycopg2.errors.ExclusionViolation,
        psycopg2.errors.NotNullViolation,
        psycopg2.errors.UniqueViolation,
    ) as error:
        if error.diag.table_name == "load_history":  # its sums are ours
            raise
        detail = f": {error.diag.message_detail}" if error.diag.message_detail else ""
        raise TaxiError(
            f"the warehouse refuses: {first_line(error)}{' '.join(detail.split(chr(10)))}; it's a "
            "constraint of yours, so drop it or correct what it refers to"
        ) from None
    except (psycopg2.errors.DuplicateTable, psycopg2.errors.DuplicateObject) as error:
        raise TaxiError(
            f"the warehouse refuses: {first_line(error)}, and it isn't one of ours; rename it"
        ) from None
    except (psycopg2.errors.ProgramLimitExceeded, psycopg2.errors.TooManyColumns) as error:
        raise TaxiError(
            f"the warehouse refuses: {first_line(error)}; [transform] schema_contract = discard "
            "leaves out columns that the catalog doesn't know"
        ) from None
    except (psycopg2.errors.LockNotAvailable, psycopg2.errors.QueryCanceled) as error:
        raise TaxiError(_given_up(warehouse, error)) from None
    except (psycopg2.errors.ReadOnlySqlTransaction, psycopg2.OperationalError) as error:
        code = error.pgcode or "08"
        happened = "refuses" if error.pgcode else "broke the connection"
        raise _class_of(code)(f"the warehouse {happened}: {first_line(error)}") from None
    except (psycopg2.DataError, psycopg2.errors.RaiseException) as error:
        if error.pgcode in _BROKEN_COPY:
            raise
        raise TaxiError(
            f"the warehouse refuses: {first_line(error)}; a column or trigger of yours may do so"
        ) from None
    except psycopg2.InterfaceError as error:  # closed in the midst of a transaction
        raise TransientError(f"the warehouse broke the connection: {first_line(error)}") from None


def first_line(error: Exception) -> str:
    """The first line of an exception's message."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _given_up(warehouse: Warehouse, error: psycopg2.Error) -> str:
    """The message for a statement that a limit has ended, or somebody."""
    if isinstance(error, psycopg2.errors.LockNotAvailable):
        return (
            f"other sessions blocked a statement for {warehouse.lock_timeout:g} minutes, "
            "[warehouse] lock_timeout; the log names them, if that was a minute or more"
        )
    if "statement timeout" in first_line(error):
        return (
            f"a statement took longer than {warehouse.time_limit:g} minutes, [warehouse] "
            "time_limit, and was given up"
        )
    return f"the warehouse refuses: {first_line(error)}"


def _class_of(code: str) -> type[TaxiError]:
    if _TRANSIENT.match(code):
        return TransientError
    return SystemicError if _SYSTEMIC.match(code) else TaxiError


def _untranslatable(error: psycopg2.Error) -> str:
    """The message for a character that the database's encoding lacks, with the column or value."""
    numbers = re.findall(r"0x([0-9a-f]{2})", str(error))
    character = bytes.fromhex("".join(numbers)).decode(errors="replace")[:1]
    encoding = re.findall(r'"(\w+)"', first_line(error))
    what = f"{character!r} (U+{ord(character):04X})" if character else "one of the characters"
    where = ""
    if copied := re.search(r", \w+ (\S+)$", error.diag.context or ""):
        where = f" of column {copied[1]}"
    elif error.cursor and character:
        statement = str(error.cursor.query or b"", "utf-8", "replace")
        if value := re.search(f"'([^']*{re.escape(character)}[^']*)'", statement):
            where = f" of {value[1][:60]!r}"
    return (
        f"the warehouse's database is in {encoding[-1] if encoding else 'an encoding of its own'}, "
        f"which has no {what}{where}: name one in UTF8 in [warehouse] url"
    )
