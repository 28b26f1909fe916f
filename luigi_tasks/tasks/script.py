"""A user's own transform: the script or command of ``[transform] script``."""

import hashlib
import shlex
from dataclasses import dataclass
from pathlib import Path

from luigi_tasks import config
from luigi_tasks.errors import TaxiError


@dataclass(frozen=True)
class Script:
    """A command, and the files it names, which go with it wherever it runs.

    ``identity`` is recorded in the ledger: the file's name, and a digest of the file and of the
    rest of the command.
    """

    name: str
    identity: str
    command: tuple[str, ...]
    files: dict[str, Path | bytes]
    replaces: bool


def configured() -> Script | None:
    """The configured script; None without one.

    :raises TaxiError: it isn't a command, or its file doesn't exist.
    """
    settings = config.transform()
    text = settings.script.strip()
    if not text:
        return None
    try:
        words = [text] if _is_file(text) else shlex.split(text)
    except ValueError as error:
        raise TaxiError(f"[transform] script: {settings.script!r}: {error}") from None
    program = Path(words[0])
    is_python = program.suffix == ".py"
    is_ours = is_python or ("/" in words[0] and not program.is_absolute())
    if is_ours and not _is_file(words[0]):
        name = getattr(settings.script, "written", words[0])
        raise TaxiError(f"[transform] script: there is no file {name}")
    command, files, digest = [], {}, hashlib.sha256()
    for word in words:
        path = Path(word)
        if not _is_file(word):
            command.append(word)
            digest.update(word.encode())
            continue
        content = _read(path)
        digest.update(content)
        if path == program and path.is_absolute() and not is_python:
            command.append(word)  # a program of this machine
        elif path.name in files:
            raise TaxiError(f"[transform] script: names two files {path.name}")
        else:
            # a Python file by its content, or it would find others beside it in a process alone
            files[path.name] = content if path.suffix == ".py" else path
            command.append(f"./{path.name}" if path == program else path.name)
    if is_python:
        command[0] = program.name
        command.insert(0, "python")
    order = settings.script_runs
    return Script(
        name=words[0],
        identity=f"{program.name} {order}, sha256 {digest.hexdigest()}",
        command=tuple(command),
        files=files,
        replaces=order == "instead",
    )


def identity() -> str | None:
    """The present script's identity; None without one."""
    script = configured()
    return script.identity if script else None


def reads_published() -> bool:
    """Whether a script reads the published file, so that this may have any form."""
    script = configured()
    return script is not None and script.replaces


def _is_file(word: str) -> bool:
    try:
        return Path(word).is_file()
    except (OSError, ValueError):  # too long for a name, as a command's text may be
        return False


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TaxiError(f"[transform] script: {path} can't be read: {error.strerror}") from None
