# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A hostile peer, in the network namespace that this process is started in.

Standard input has a line of JSON, the fields of ``Flood``. It ends once the daemon's own counter says that it has
received as many datagrams: what the kernel drops for want of room does not count, and is sent again by others.
"""

from __future__ import annotations

import json
import random
import socket
import sys
import time
from dataclasses import dataclass

from tests.support.mutation import mutated, mutated_message

PORTS = (500, 4500)
MARKER = bytes(4)
BATCH = 100  # datagrams that a socket's receive buffer surely holds


@dataclass
class Flood:
    """``messages`` are hexadecimal: IKE without marker, and ESP. ``source`` is an honest peer's address, which has its
    ports free; ``control`` the daemon's control socket, ``limit`` seconds."""

    seed: int
    count: int
    messages: list[str]
    packets: list[str]
    source: str
    target: str
    control: str
    limit: float

    def run(self) -> None:
        rng = random.Random(self.seed)
        messages, packets = map(_octets, (self.messages, self.packets))
        sockets = [_bound(self.source, port) for port in (*PORTS, *[0] * 14)]
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(self.control)
            asked = control.makefile("rwb")
            end = _received(asked) + self.count
            deadline = time.monotonic() + self.limit
            while (received := _received(asked)) < end:
                if time.monotonic() > deadline:
                    raise SystemExit(f"{end - received} of {self.count} datagrams not received in {self.limit} s")
                for port in PORTS:
                    for _ in range(BATCH):
                        data = _datagram(rng, port, messages, packets)
                        # The honest peer's own ports, where its SAs are, as often as all others.
                        sender = sockets[rng.randrange(2)] if rng.random() < 0.5 else rng.choice(sockets)
                        sender.sendto(data, (self.target, port))


def _datagram(rng: random.Random, port: int, messages: list[bytes], packets: list[bytes]) -> bytes:
    if rng.random() < 0.2:
        return rng.randbytes(rng.randrange(200))
    if port == 4500 and rng.random() < 0.5:
        return mutated(rng, rng.choice(packets))
    message = mutated_message(rng, rng.choice(messages))
    return MARKER + message if port == 4500 else message


def _octets(lines: list[str]) -> list[bytes]:
    return [bytes.fromhex(line) for line in lines]


def _bound(address: str, port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    bound.bind((address, port))
    return bound


def _received(asked) -> int:
    asked.write(b'{"version": 1, "command": "status"}\n')
    asked.flush()
    return json.loads(asked.readline())["result"]["counters"]["datagrams_received"]


if __name__ == "__main__":
    Flood(**json.loads(sys.stdin.readline())).run()
