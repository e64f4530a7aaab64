# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One TCP connection in the network namespace that this process is started in.

``listen ADDRESS PORT`` prints a line when it listens, and how many octets came when the peer has closed;
``send ADDRESS PORT OCTETS [SOURCE]`` sends that many and ends when the peer has them. Both end with an error after a
while.
"""

from __future__ import annotations

import socket
import sys

SECONDS = 15.0


def listen(address: str, port: int) -> None:
    with socket.create_server((address, port), family=_family(address)) as server:
        server.settimeout(SECONDS)
        print("listens", flush=True)
        connection, _peer = server.accept()
        connection.settimeout(SECONDS)
        octets = 0
        with connection:
            while data := connection.recv(1 << 16):
                octets += len(data)
        print(octets, flush=True)


def send(address: str, port: int, octets: int, source: str | None = None) -> None:
    with socket.socket(_family(address)) as connection:
        connection.settimeout(SECONDS)
        if source is not None:
            connection.bind((source, 0))
        connection.connect((address, port))
        connection.sendall(bytes(octets))
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)  # the peer closes when all is there


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


if __name__ == "__main__":
    what, where, at, *rest = sys.argv[1:]
    if what == "listen":
        listen(where, int(at))
    else:
        send(where, int(at), int(rest[0]), *rest[1:])
