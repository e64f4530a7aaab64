# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TCP between two namespaces of the network."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.integration.dataplane.conftest import Net

_TCP = str(Path(__file__).with_name("tcp.py"))
PORT = 7777


def transfers(net: Net, client: str, server: str, address: str, octets: int, source: str | None = None) -> bool:
    """Whether ``server``, which has ``address``, gets that many octets over one connection."""
    listening = subprocess.Popen([*net[server].entry, sys.executable, _TCP, "listen", address, str(PORT)],
                                 stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert listening.stdout is not None and listening.stdout.readline() == "listens\n"
        sent = net[client].run([sys.executable, _TCP, "send", address, str(PORT), str(octets),
                                *([source] if source else [])], check=False)
        return sent.returncode == 0 and listening.stdout.readline() == f"{octets}\n"
    finally:
        listening.kill()
        listening.wait()


def connects(net: Net, client: str, server: str, address: str) -> bool:
    """Whether a connection comes about."""
    asked = [sys.executable, "-c", "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 1.5)",
             address, str(PORT)]
    listening = subprocess.Popen([*net[server].entry, sys.executable, _TCP, "listen", address, str(PORT)],
                                 stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert listening.stdout is not None and listening.stdout.readline() == "listens\n"
        return net[client].run(asked, check=False).returncode == 0
    finally:
        listening.kill()
        listening.wait()
