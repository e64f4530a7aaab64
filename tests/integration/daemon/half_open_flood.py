# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A flood of first messages from addresses that nobody receives at, in the namespace that this process is started in.

Standard input has a line of JSON, the fields of ``Flood``; a line of JSON comes out: how many were sent in how many
seconds.
"""

from __future__ import annotations

import json
import random
import socket
import struct
import sys
import time
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

_IPV4 = struct.Struct(">BBHHHBBH4s4s")  # the kernel fills in length, identification and checksum
_UDP = struct.Struct(">HHHH")  # without a checksum, which IPv4 allows (RFC 768)
_SOURCE, _SPI = 12, _IPV4.size + _UDP.size
_TTL = 64
_BURST = 50


@dataclass
class Flood:
    """``message`` is an IKE_SA_INIT request, hexadecimal, sent to ``target`` from random addresses of ``sources`` with
    random SPIs: ``rate`` a second for ``seconds``."""

    seed: int
    message: str
    sources: str
    target: str
    rate: int
    seconds: float

    def run(self) -> None:
        rng, sources = random.Random(self.seed), ip_network(self.sources)
        first, number = int(sources.network_address), sources.num_addresses
        payload, target = bytes.fromhex(self.message), ip_address(self.target).packed
        packet = bytearray(_IPV4.pack(0x45, 0, 0, 0, 0, _TTL, socket.IPPROTO_UDP, 0, bytes(4), target)
                           + _UDP.pack(500, 500, _UDP.size + len(payload), 0) + payload)
        count, sent = int(self.rate * self.seconds), 0
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
            began = time.monotonic()
            while sent < count:
                for _ in range(_BURST):
                    struct.pack_into(">I", packet, _SOURCE, first + rng.randrange(number))
                    struct.pack_into(">Q", packet, _SPI, rng.getrandbits(64) or 1)
                    raw.sendto(packet, (self.target, 0))
                sent += _BURST
                time.sleep(max(0.0, began + sent / self.rate - time.monotonic()))
            seconds = time.monotonic() - began
        print(json.dumps({"sent": sent, "seconds": seconds}), flush=True)


if __name__ == "__main__":
    Flood(**json.loads(sys.stdin.readline())).run()
