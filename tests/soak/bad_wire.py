# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A wire that loses, doubles and reorders UDP datagrams: a program between two devices of a namespace.

``bad_wire.py SHARE SEED ONE OTHER``: each datagram is lost with that probability, else doubled with the same, and each
copy late with the same, so that others overtake it. Everything else passes as it is. It ends at SIGTERM and says how
many datagrams met which fate.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import json
import random
import select
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.testbed.network import Namespace

_ALL = 0x0003  # ETH_P_ALL
_FRAME = 65535
_ETHERNET, _CHECKSUM = 14, 6  # octets of the one's header, before the other in UDP's
_IPV4_UDP = (b"\x08\x00", 17)
_LATEST = 0.1
"""Seconds by which a datagram is late at most."""


class BadWire:
    """Between two devices, each direction alike."""

    def __init__(self, share: float, seed: int, devices: tuple[str, str]) -> None:
        self._share, self._random = share, random.Random(seed)
        self.fates: Counter[str] = Counter()
        self._late: list[tuple[float, int, socket.socket, bytes]] = []
        self._numbers = itertools.count()
        self._sockets = []
        for device in devices:
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL))
            sock.bind((device, _ALL))
            self._sockets.append(sock)

    def run(self) -> None:
        print("ready", flush=True)
        one, other = self._sockets
        far = {one: other, other: one}
        while True:
            pause = max(0.0, self._late[0][0] - time.monotonic()) if self._late else None
            for sock in select.select(self._sockets, [], [], pause)[0]:
                frame, sender = sock.recvfrom(_FRAME)
                if sender[2] != socket.PACKET_OUTGOING:
                    self._pass(far[sock], frame)
            while self._late and self._late[0][0] <= time.monotonic():
                _due, _number, to, frame = heapq.heappop(self._late)
                self._send(to, frame)

    def _pass(self, to: socket.socket, frame: bytes) -> None:
        if (frame[12:14], frame[23]) != _IPV4_UDP:
            self._send(to, frame)
            return
        self.fates["datagrams"] += 1
        if self._is_unlucky("lost"):
            return
        # The sender left the checksum to a device that there is not. Without one it is not looked at (RFC 768).
        place = _ETHERNET + (frame[_ETHERNET] & 0x0F) * 4 + _CHECKSUM
        frame = frame[:place] + bytes(2) + frame[place + 2:]
        for _copy in range(2 if self._is_unlucky("doubled") else 1):
            if self._is_unlucky("late"):
                due = time.monotonic() + _LATEST * self._random.random()
                heapq.heappush(self._late, (due, next(self._numbers), to, frame))
            else:
                self._send(to, frame)

    def _is_unlucky(self, fate: str) -> bool:
        unlucky = self._random.random() < self._share
        self.fates[fate] += unlucky
        return unlucky

    @staticmethod
    def _send(to: socket.socket, frame: bytes) -> None:
        with contextlib.suppress(OSError):  # as a full queue loses it
            to.send(frame)


@contextmanager
def bad_wire(namespace: Namespace, devices: tuple[str, str], share: float, seed: int) -> Iterator[dict[str, int]]:
    """The program runs; what is yielded has the fates of datagrams when it has ended."""
    fates: dict[str, int] = {}
    process = subprocess.Popen(
        [*namespace.entry, sys.executable, "-m", "tests.soak.bad_wire", str(share), str(seed), *devices],
        cwd=Path(__file__).parents[2], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield fates
        process.terminate()
        fates.update(json.loads(process.communicate(timeout=30)[0]))
    finally:
        process.kill()
        process.wait()


def _main(share: str, seed: str, one: str, other: str) -> None:
    made = BadWire(float(share), int(seed), (one, other))

    def end(*_: object) -> None:
        print(json.dumps(made.fates), flush=True)
        raise SystemExit

    signal.signal(signal.SIGTERM, end)
    made.run()


if __name__ == "__main__":
    _main(*sys.argv[1:])
