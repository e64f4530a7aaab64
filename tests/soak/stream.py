# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A steady stream of numbered UDP datagrams over many flows, and what came of it.

As a program it is one end: it sends to every flow's far address in turn, so many packets a second in all, and hears
what the other end sends it. It goes on until it is told to end (SIGTERM), then says as JSON which numbers it sent and
heard. `Stream` runs one at either end.

User-Mode Linux makes a system call, the time of day included, cost as much as ten elsewhere. So an end looks at the
clock once in a few milliseconds, sends what is due by then, and reads what has come: two calls for each packet, and
one in five beside them.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections import Counter
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
_TICK = 0.005
"""Seconds from one time that an end sends and reads to the next."""
_AT_ONCE = 50
"""Packets in one tick at most: what a busy machine kept waiting makes up for it, but leaves others their turn."""
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33  # of Linux; the socket module has no names for them
_ROOM = 1 << 24
"""Octets that wait at a socket: what a busy processor leaves there is not lost."""

Json = dict[str, Any]


@dataclass
class Heard:
    """One flow's packets at its receiver: how many, the last number, the longest time between two that were sent and of
    which all between were lost, and when the first and the last of them were sent."""

    count: int = 0
    last: int = -1
    twice: int = 0
    gap: float = 0.0
    missing: set[int] = field(default_factory=set)
    sent_at: float | None = None
    first_at: float | None = None

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
        self.first_at = sent_at if self.first_at is None else min(sent_at, self.first_at)

    @property
    def said(self) -> Json:
        return {"count": self.count, "gap": self.gap, "last": self.last, "missing": _rows(self.missing),
                "span": [self.first_at, self.sent_at]}


@dataclass
class Outcome:
    """One direction; ``per_second`` is what the machine had time for. ``longest_gap`` is the most seconds for which
    all that a flow sent was lost."""

    sent: int
    per_second: float
    received: int
    lost: int
    refused: int
    """How many of the lost the sender's own kernel did not take."""
    longest_gap: float
    lost_by_flow: dict[int, list[list[int]]]
    """The first and the last number of what was lost in a row, of each flow that lost something."""

    @property
    def figures(self) -> Json:
        shown = {"refused": self.refused, "lost_by_flow": self.lost_by_flow} if self.lost else {}
        return {"sent": self.sent, "per_second": round(self.per_second), "received": self.received, "lost": self.lost,
                "longest_gap_s": round(self.longest_gap, 3), **shown}


class Stream:
    """Packets both ways between two namespaces, over flows that are pairs of addresses, for as long as the context
    lasts. `outcomes` has then what came of them: from the first to the second, and back."""

    def __init__(self, ends: tuple[Namespace, Namespace], flows: Sequence[tuple[str, str]], *,
                 per_second: int = PER_SECOND) -> None:
        self._ends, self._flows, self._per_second = ends, flows, per_second
        self.outcomes: list[Outcome] = []

    @property
    def figures(self) -> Json:
        """Of both directions; where something was lost, with what either end's IPsec dropped meanwhile, and why."""
        out, back = self.outcomes
        lost = out.lost + back.lost
        return {"asked_per_second": self._per_second, "lost": lost, "out": out.figures, "back": back.figures,
                **({"dropped": self._dropped} if lost else {})}

    def __enter__(self) -> Stream:
        self._before = [_dropped(end) for end in self._ends]
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
        self._dropped = [dict(Counter(_dropped(end)) - Counter(before))
                         for end, before in zip(self._ends, self._before, strict=True)]
        self.outcomes = [outcome(said[place], said[1 - place], seconds) for place in (0, 1)]

    def _start(self, namespace: Namespace, place: int) -> subprocess.Popen[str]:
        flows = [f"{flow[place]}={flow[1 - place]}" for flow in self._flows]
        return subprocess.Popen(
            [*namespace.entry, sys.executable, "-m", "tests.soak.stream", str(self._per_second), *flows],
            cwd=Path(__file__).parents[2], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)


def _dropped(namespace: Namespace) -> dict[str, int]:
    """The kernel's counters of xfrm_stat (Documentation/networking/xfrm_proc.rst)."""
    rows = (line.split() for line in namespace.run(["cat", "/proc/net/xfrm_stat"]).stdout.splitlines())
    return {name: int(number) for name, number in rows}


def outcome(sender: Json, receiver: Json, seconds: float) -> Outcome:
    """Of what the two ends said."""
    sent, received = sum(sender["sent"]), sum(row["count"] for row in receiver["heard"])
    lost, gaps = {}, []
    for flow, (number, span, heard) in enumerate(zip(sender["sent"], sender["span"], receiver["heard"], strict=True)):
        missing = [*heard["missing"], *([[heard["last"] + 1, number - 1]] if heard["last"] + 1 < number else [])]
        if missing:
            lost[flow] = missing
        gaps.append(_longest(span, heard))
    return Outcome(sent, sent / seconds, received, sent - received, sender["refused"], max(gaps), lost)


def _longest(span: Sequence[float], heard: Json) -> float:
    """What was lost before the first packet of a flow that arrived, and after the last, is a gap as well."""
    if not heard["count"]:
        return span[1] - span[0]
    first, last = heard["span"]
    return max(first - span[0], heard["gap"], span[1] - last)


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
        self._per_second = per_second
        self._sent = [0] * len(flows)
        self._span = [[0.0, 0.0] for _flow in flows]
        self._heard = [Heard() for _flow in flows]
        self._began: float | None = None
        self._count, self._refused, self._ended = 0, 0, False
        self._far = [(there, PORT) for _here, there in flows]
        self._senders = [_bound(here, 0) for here, _there in flows]
        self._receiver = _bound("", PORT)

    def run(self) -> None:
        signal.signal(signal.SIGUSR1, lambda *_: self._begin(time.monotonic()))
        signal.signal(signal.SIGUSR2, lambda *_: self._begin(None))
        signal.signal(signal.SIGTERM, lambda *_: self._end())
        # It stands for hosts that have a processor of their own. (Niceness is of no use: User-Mode Linux charges the
        # whole of a tick to who happens to run at its end.)
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        print("ready", flush=True)
        while not self._ended:
            if self._began is not None:
                self._send_what_is_due(self._began, time.monotonic())
            self._hear()
            time.sleep(_TICK)
        self._hear()
        print(json.dumps({"sent": self._sent, "refused": self._refused, "span": self._span,
                          "heard": [row.said for row in self._heard]}))

    def _begin(self, now: float | None) -> None:
        self._began = now

    def _end(self) -> None:
        self._ended = True

    def _send_what_is_due(self, began: float, now: float) -> None:
        for _row in range(min(int((now - began) * self._per_second) - self._count, _AT_ONCE)):
            flow = self._count % len(self._far)
            number = self._sent[flow]
            self._sent[flow] += 1
            self._count += 1
            self._span[flow] = [self._span[flow][0] if number else now, now]
            try:
                self._senders[flow].sendto(_PACKET.pack(flow, number, now).ljust(_OCTETS, b"\0"), self._far[flow])
            except OSError:
                self._refused += 1

    def _hear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                flow, number, sent_at = _PACKET.unpack_from(self._receiver.recv(_OCTETS))
                self._heard[flow].note(number, sent_at)


def _bound(address: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for option in (_SO_SNDBUFFORCE, _SO_RCVBUFFORCE):
        sock.setsockopt(socket.SOL_SOCKET, option, _ROOM)
    sock.bind((address, port))
    sock.setblocking(False)
    return sock


if __name__ == "__main__":
    _End(int(sys.argv[1]), [tuple(word.split("=")) for word in sys.argv[2:]]).run()  # type: ignore[misc]
