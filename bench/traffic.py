# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One TCP connection as full as it gets: ``traffic.py sink HERE SECONDS`` measures, ``traffic.py source HERE THERE``
fills it.

Neither costs the processor more than it must, as both share it with the tunnel: the source sends pages of a file, and
the sink has the kernel throw away what came.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from contextlib import suppress

PORT = 5201
WARM_UP = 1.0  # seconds in which TCP finds its rate
LISTENING = "listening"
_CHUNK = 1 << 20


def sink(here: str, seconds: float) -> float:
    """Take one connection, and return its Mbit/s in so many seconds after the warm-up."""
    with socket.create_server((here, PORT)) as server:
        print(LISTENING, flush=True)
        connection, _peer = server.accept()
    with connection:
        _discard(connection, WARM_UP)
        began = time.monotonic()
        octets = _discard(connection, seconds)
        return octets * 8 / (time.monotonic() - began) / 1e6


def _discard(connection: socket.socket, seconds: float) -> int:
    """How many octets came in that time."""
    nowhere = bytearray(_CHUNK)
    end, octets = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        octets += connection.recv_into(nowhere, _CHUNK, socket.MSG_TRUNC)
    return octets


def source(here: str, there: str) -> None:
    """Send until the sink closes."""
    file = os.memfd_create("load")
    os.truncate(file, _CHUNK)
    with (socket.create_connection((there, PORT), source_address=(here, 0)) as connection,
          suppress(BrokenPipeError, ConnectionResetError)):
        while True:
            os.sendfile(connection.fileno(), file, 0, _CHUNK)


if __name__ == "__main__":
    if sys.argv[1] == "sink":
        print(sink(sys.argv[2], float(sys.argv[3])))
    else:
        source(*sys.argv[2:])
