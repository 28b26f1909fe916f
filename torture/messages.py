"""The borders of messages in PostgreSQL's protocol, version 3."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

#: What a client may ask before its first message, and is answered with a single byte.
_ENCRYPTION_REQUESTS = (80877103, 80877104)
_CANCEL_REQUEST = 80877102
#: What is random, or depends on the day, in a statement.
_CHANGING = re.compile(r"\d{4}-\d\d-\d\dT[\d:.+]+|\b\d{4,}\b|[0-9a-f]{32,}")


@dataclass
class Talk:
    """What both directions of a connection have to know of each other."""

    has_started: bool = False
    #: How many answers of a single byte are to come.
    single_bytes: int = 0


@dataclass
class Borders:
    """Cuts the bytes of one direction into messages."""

    talk: Talk
    is_client: bool
    _rest: bytearray = field(default_factory=bytearray)

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Take bytes, and give the messages that are whole by now."""
        self._rest += piece
        while size := self._size():
            message = bytes(self._rest[:size])
            del self._rest[:size]
            if self.is_client and not self.talk.has_started:
                self._begin(int.from_bytes(message[4:8], "big"))
            yield message

    @property
    def rest(self) -> bytes:
        """What has come of a message that isn't whole."""
        return bytes(self._rest)

    def _size(self) -> int:
        """The size of the first message; 0 while it isn't whole."""
        if not self._rest:
            return 0
        if not self.is_client and self.talk.single_bytes:
            self.talk.single_bytes -= 1
            return 1
        kind = 0 if self.is_client and not self.talk.has_started else 1
        if len(self._rest) < kind + 4:
            return 0
        size = kind + int.from_bytes(self._rest[kind : kind + 4], "big")
        return size if len(self._rest) >= size else 0

    def _begin(self, code: int) -> None:
        if code in _ENCRYPTION_REQUESTS:
            self.talk.single_bytes += 1
        elif code != _CANCEL_REQUEST:
            self.talk.has_started = True


def described(message: bytes, *, is_client: bool, is_start: bool) -> str:
    """What a message is, for whoever reads a list of them."""
    if is_start:
        return "start"
    if len(message) == 1:
        return "no encryption"
    kind = chr(message[0])
    if is_client and kind == "Q":
        text = message[5:-1].decode(errors="replace")
        return f"Q {' '.join(_CHANGING.sub('#', text).split())[:110]}"
    if kind in "CE" and not is_client:
        return f"{kind} {message[5:60].decode(errors='replace')!r}"
    return kind
