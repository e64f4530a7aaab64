# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemon's log: structured entries, kept in a bounded ring for ``ikectl log`` and written to standard error.

A field's value is text or a number that an operator may see; keys and credentials are never given to it. A field that
is None is left out.
"""

from __future__ import annotations

import os
import sys
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import TextIO, TypeAlias

Field: TypeAlias = str | int | float | bool | None


class Level(IntEnum):
    """Syslog's severities (RFC 5424 §6.2.1), as far as we use them."""

    ERROR = 3
    WARNING = 4
    NOTICE = 5
    INFO = 6
    DEBUG = 7


@dataclass(frozen=True, slots=True)
class Entry:
    """``time`` is Unix seconds."""

    time: float
    level: Level
    message: str
    fields: dict[str, Field]

    def as_dict(self) -> dict[str, Field]:
        return {"time": self.time, "level": self.level.name.lower(), "message": self.message, **self.fields}

    def __str__(self) -> str:
        return " ".join([_printable(self.message),
                         *(f"{name}={_printable(str(value))}" for name, value in self.fields.items())])


class Log:
    """Entries below ``level`` cost one comparison."""

    def __init__(self, level: Level = Level.INFO, stream: TextIO | None = None, journal: bool | None = None,
                 kept: int = 2000, clock: Callable[[], float] = time.time) -> None:
        self.level = level
        self._stream = sys.stderr if stream is None else stream
        self._journal = "JOURNAL_STREAM" in os.environ if journal is None else journal
        self._entries: deque[Entry] = deque(maxlen=kept)
        self._followers: set[Callable[[Entry], None]] = set()
        self._clock = clock
        self._limit = _RateLimit()

    def error(self, message: str, **fields: Field) -> None:
        self._write(Level.ERROR, message, fields)

    def warning(self, message: str, **fields: Field) -> None:
        self._write(Level.WARNING, message, fields)

    def notice(self, message: str, **fields: Field) -> None:
        self._write(Level.NOTICE, message, fields)

    def info(self, message: str, **fields: Field) -> None:
        self._write(Level.INFO, message, fields)

    def debug(self, message: str, **fields: Field) -> None:
        self._write(Level.DEBUG, message, fields)

    def from_network(self, peer: str, message: str, **fields: Field) -> None:
        """A warning that anyone on the network can provoke: at a bounded rate for each peer, and for all of them, as
        senders can be forged; the rest is counted."""
        suppressed = self._limit.admit(peer, message, self._clock())
        if suppressed is not None:
            self.warning(message, peer=peer, **fields, **({"suppressed": suppressed} if suppressed else {}))

    def entries(self, lines: int) -> list[Entry]:
        """The last ``lines`` entries, oldest first."""
        return list(self._entries)[-lines:] if lines > 0 else []

    @contextmanager
    def followed(self, follower: Callable[[Entry], None]) -> Iterator[None]:
        """``follower`` hears every entry while the context lasts."""
        self._followers.add(follower)
        try:
            yield
        finally:
            self._followers.discard(follower)

    def _write(self, level: Level, message: str, fields: dict[str, Field]) -> None:
        if level > self.level:
            return
        told: dict[str, Field] = {name: value for name, value in fields.items() if value is not None}
        entry = Entry(self._clock(), level, message, told)
        self._entries.append(entry)
        if self._journal:
            line = f"<{level.value}>{entry}\n"
        else:
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(entry.time))
            line = f"{stamp} {level.name.lower():7} {entry}\n"
        try:
            self._stream.write(line)
            self._stream.flush()
        except OSError:  # a closed terminal or a full disk must not stop the tunnels; the ring has the entry
            pass
        for follower in tuple(self._followers):
            follower(entry)


@dataclass(slots=True)
class _Bucket:
    """A token bucket: ``burst`` at once, ``per_second`` after."""

    burst: float
    per_second: float
    tokens: float
    then: float
    suppressed: int = 0

    def refill(self, now: float) -> _Bucket:
        self.tokens = min(self.burst, self.tokens + max(0.0, now - self.then) * self.per_second)
        self.then = now
        return self


class _RateLimit:
    """A bucket for each peer, of which the one longest unheard of is forgotten, and one for each message.

    The latter is what a flood from forged senders meets; it leaves room for messages of another kind.
    """

    BURST, PER_SECOND = 5, 0.2
    MESSAGE_BURST, MESSAGE_PER_SECOND = 50, 2.0
    PEERS = 1024

    def __init__(self) -> None:
        self._peers: OrderedDict[str, _Bucket] = OrderedDict()
        self._messages: dict[str, _Bucket] = {}

    def admit(self, peer: str, message: str, now: float) -> int | None:
        """How many were suppressed since the last that was admitted, or None where this one is suppressed too."""
        own = self._peers.pop(peer, None) or _Bucket(self.BURST, self.PER_SECOND, self.BURST, now)
        self._peers[peer] = own
        if len(self._peers) > self.PEERS:
            self._peers.popitem(last=False)
        shared = self._messages.setdefault(
            message, _Bucket(self.MESSAGE_BURST, self.MESSAGE_PER_SECOND, self.MESSAGE_BURST, now))
        buckets = own.refill(now), shared.refill(now)
        if any(bucket.tokens < 1 for bucket in buckets):
            own.suppressed += 1
            return None
        for bucket in buckets:
            bucket.tokens -= 1
        suppressed, own.suppressed = own.suppressed, 0
        return suppressed


def _printable(text: str) -> str:
    """Text with what could forge a line or drive a terminal escaped: peers choose some of it."""
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")
