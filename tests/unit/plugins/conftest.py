# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One side as a playbook declares it, and a daemon that answers as the tests want."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

MARKER = "marker-that-must-appear-nowhere"


@pytest.fixture
def declared() -> dict[str, Any]:
    return {
        "site": {"name": "hq"},
        "transforms": [{"name": "p1", "encryption": "AES-256", "key_group": 14}],
        "gateways": [{"name": "branch", "credential": {"method": "psk", "psk": MARKER}, "transforms": ["p1"],
                      "endpoints": [{"local": {"address": "192.0.2.1"}, "remote": {"address": "198.51.100.1"}}]}],
        "tunnels": [{"name": "lan", "gateway": "branch",
                     "routes": [{"local": "10.1.0.0/24", "remote": "10.2.0.0/24"}]}],
    }


class Daemon:
    """A control socket. ``answers`` gives each command's answer; ``asked`` is what was asked, in order."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.asked: list[dict[str, Any]] = []
        self.answers: dict[str, Callable[[dict[str, Any]], Any]] = {}
        self.loaded: dict[str, Any] = {}
        self.by_hand: list[dict[str, str]] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                peer, _address = self._listener.accept()
            except OSError:
                return
            with peer, peer.makefile("rw") as lines:
                request = json.loads(lines.readline())
                self.asked.append(request)
                answer = self.answers[request["command"]](request)
                lines.write(answer if isinstance(answer, str) else json.dumps(answer) + "\n")

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def ok(result: dict[str, Any]) -> dict[str, Any]:
    return {"version": 1, "ok": True, "result": result}


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """Answers ``status`` with the digest of what was last loaded, and takes every ``reload``."""
    from ansible_collections.tandem.vpn.plugins.module_utils.vpn import declaration

    running = Daemon(tmp_path / "control.sock")
    running.loaded = {"declaration": {}, "secrets": {}}

    def reload(request: dict[str, Any]) -> dict[str, Any]:
        running.loaded = {name: request[name] for name in ("declaration", "secrets")}
        return ok({"added": [], "changed": [], "removed": [], "unchanged": []})

    def status(request: dict[str, Any]) -> dict[str, Any]:
        key = bytes.fromhex(request["challenge"])
        return ok({"daemon": {"declaration_digest": declaration.digest(running.loaded["declaration"]),
                              "keys_digest": declaration.keyed_digest(running.loaded["secrets"], key)}})

    running.answers = {"status": status, "reload": reload, "audit": lambda request: ok({"departures": running.by_hand}),
                       "mend": lambda request: ok({"mended": running.by_hand})}
    yield running
    running.close()
