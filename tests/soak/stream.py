# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A steady stream of numbered UDP datagrams over many flows, and what came of it.

As a program it is one end: it sends to every flow's far address in turn, so many packets a second in all, and hears
what the other end sends it. It goes on until it is told to end (SIGTERM), then says as JSON which numbers it sent and
heard. `Stream` runs one at either end.
"""

from __future__ import annotations

import contextlib
import json
import selectors
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.testbed.network import Namespace

PORT = 7007
PER_SECOND = 1000
_PACKET = struct.Struct("!IId")
_STILL = 2.0
"""Seconds that the last packets have to arrive."""
_OCTETS = 200
_LATE = 0.02
"""Seconds that a sender may lag behind: where a busy machine made it wait for longer it goes on from there, since a
burst of what it missed would overflow the queues of a kernel."""
_SO_RCVBUFFORCE = 33  # of Linux; the socket module has no name for it
_ROOM = 1 << 24
"""Octets that wait at a receiver: what a busy processor leaves there is not lost."""


@dataclass
class Heard:
    """One flow's packets at its receiver: how many, the last number, and the longest time between two that were sent
    and of which all between were lost."""

    count: int = 0
    last: int = -1
    twice: int = 0
    gap: float = 0.0
    missing: set[int] = field(default_factory=set)
    sent_at: float | None = None

    def note(self, number: int, sent_at: float) -> None:
        follows = number - self.last
        if number > self.last:
            self.missing.update(range(self.last + 1, number))
            self.last = number
        elif number in self.missing:
            self.missing.discard(number)
        else:
            self.twice += 1
            return
        self.count += 1
        if self.sent_at is not None and follows > 1:
            self.gap = max(self.gap, sent_at - self.sent_at)
        self.sent_at = max(sent_at, self.sent_at or sent_at)


@dataclass
class Outcome:
    """One direction; ``per_second`` is what the machine had time for. ``longest_gap`` is the seconds between two
    packets of one flow that were sent one after the other and arrived, all between them being lost."""

    sent: int
    per_second: float
    received: int
    lost: int
    longest_gap: float
    lost_by_flow: dict[int, list[list[int]]]
    """The first and the last number of what was lost in a row, of each flow that lost something."""

    @property
    def figures(self) -> dict[str, Any]:
        shown = {"lost_by_flow": self.lost_by_flow} if self.lost else {}
        return {"sent": self.sent, "per_second": round(self.per_second), "received": self.received, "lost": self.lost,
                "longest_gap_s": round(self.longest_gap, 3), **shown}


class Stream:
    """Packets both ways between two namespaces, over flows that are pairs of addresses, for as long as the context
    lasts. `outcomes` has then what came of them: from the first to the second, and back."""

    def __init__(self, ends: tuple[Namespace, Namespace], flows: Sequence[tuple[str, str]], *,
                 per_second: int = PER_SECOND) -> None:
        self._ends, self._flows, self._per_second = ends, flows, per_second
        self.outcomes: list[Outcome] = []

    def __enter__(self) -> Stream:
        self._processes = [self._start(end, place) for place, end in enumerate(self._ends)]
        for process in self._processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in self._processes:
            process.send_signal(signal.SIGUSR1)
        self._began = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.send_signal(signal.SIGUSR2)
        seconds = time.monotonic() - self._began
        time.sleep(_STILL)
        said = []
        for process in self._processes:
            process.terminate()
            said.append(json.loads(process.communicate(timeout=60)[0]))
        self.outcomes = [_outcome(said[place], said[1 - place], seconds) for place in (0, 1)]

    def _start(self, namespace: Namespace, place: int) -> subprocess.Popen[str]:
        flows = [f"{flow[place]}={flow[1 - place]}" for flow in self._flows]
        return subprocess.Popen(
            [*namespace.entry, sys.executable, "-m", "tests.soak.stream", str(self._per_second), *flows],
            cwd=Path(__file__).parents[2], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)


def _outcome(sender: dict[str, Any], receiver: dict[str, Any], seconds: float) -> Outcome:
    sent, received = sum(sender["sent"]), sum(row["count"] for row in receiver["heard"])
    lost = {}
    for flow, (number, heard) in enumerate(zip(sender["sent"], receiver["heard"], strict=True)):
        missing = [*heard["missing"], *([[heard["last"] + 1, number - 1]] if heard["last"] + 1 < number else [])]
        if missing:
            lost[flow] = missing
    return Outcome(sent, sent / seconds, received, sent - received, max(row["gap"] for row in receiver["heard"]), lost)


def _rows(numbers: set[int]) -> list[list[int]]:
    rows: list[list[int]] = []
    for number in sorted(numbers):
        if rows and rows[-1][1] == number - 1:
            rows[-1][1] = number
        else:
            rows.append([number, number])
    return rows


class _End:
    """Sends and hears until it is told not to."""

    def __init__(self, per_second: int, flows: Sequence[tuple[str, str]]) -> None:
        self._interval = 1 / per_second
        self._sent = [0] * len(flows)
        self._heard = [Heard() for _flow in flows]
        self._sending, self._ended = False, False
        self._far = [(there, PORT) for _here, there in flows]
        self._sockets = []
        self._selector = selectors.DefaultSelector()
        for number, (here, _there) in enumerate(flows):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _ROOM)
            sock.bind((here, PORT))
            sock.setblocking(False)
            self._selector.register(sock, selectors.EVENT_READ, number)
            self._sockets.append(sock)

    def run(self) -> None:
        signal.signal(signal.SIGUSR1, lambda *_: self._send_from_now_on(True))
        signal.signal(signal.SIGUSR2, lambda *_: self._send_from_now_on(False))
        signal.signal(signal.SIGTERM, lambda *_: self._end())
        print("ready", flush=True)
        due, turn = time.monotonic(), 0
        while not self._ended:
            now = time.monotonic()
            if not self._sending or now - due > _LATE:
                due = now
            while self._sending and now >= due:
                self._send(turn, now)
                turn = (turn + 1) % len(self._far)
                due += self._interval
            for key, _events in self._selector.select(min(0.2, max(0.0, due - now)) if self._sending else 0.2):
                self._hear(key.fileobj, key.data)  # type: ignore[arg-type]
        for flow, sock in enumerate(self._sockets):
            self._hear(sock, flow)
        print(json.dumps({"sent": self._sent, "heard": [
            {"count": row.count, "gap": row.gap, "last": row.last, "missing": _rows(row.missing)}
            for row in self._heard]}))

    def _send_from_now_on(self, sending: bool) -> None:
        self._sending = sending

    def _end(self) -> None:
        self._ended = True

    def _send(self, flow: int, now: float) -> None:
        data = _PACKET.pack(flow, self._sent[flow], now).ljust(_OCTETS, b"\0")
        self._sent[flow] += 1
        with contextlib.suppress(OSError):  # what the kernel refuses to send is lost as well
            self._sockets[flow].sendto(data, self._far[flow])

    def _hear(self, sock: socket.socket, flow: int) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                _flow, number, sent_at = _PACKET.unpack_from(sock.recv(_OCTETS))
                self._heard[flow].note(number, sent_at)


if __name__ == "__main__":
    _End(int(sys.argv[1]), [tuple(word.split("=")) for word in sys.argv[2:]]).run()  # type: ignore[misc]
