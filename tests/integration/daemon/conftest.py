# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two daemons as processes in two network namespaces, joined by a cable, each with a LAN address."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

Json = dict[str, Any]
SOURCES = Path(__file__).parents[3] / "files/ikeengine"
PSK = "correct horse battery staple"


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


class Node:
    """A namespace and the daemon in it."""

    def __init__(self, name: str, number: int, directory: Path) -> None:
        self.name, self.number = name, number
        self.namespace = f"ikd{os.getpid()}{name}"
        self.directory = directory
        self.control = directory / "run" / "control.sock"
        self.log = directory / "daemon.log"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"192.0.2.{self.number}"

    @property
    def lan(self) -> str:
        return f"10.{self.number}.0.1"

    def declaration(self, other: Node, *, routes: int = 1, tunnels: int = 1, **gateway: Any) -> Json:
        """The routes, of a subnet each, are dealt out to the tunnels: ``lan``, ``lan1`` and so on."""
        group = 14 if gateway.get("ike_version") == 1 else 31
        return {
            "version": 1, "site": {"name": self.name},
            "transforms": [{"name": "quick", "key_group": group}],
            "gateways": [{"name": other.name, "credential": {"method": "psk"}, "transforms": ["quick"],
                          "endpoints": [{"local": {"address": self.address}, "remote": {"address": other.address}}],
                          **gateway}],
            "tunnels": [{"name": f"lan{number or ''}", "gateway": other.name,
                         "pfs": {"enabled": True, "key_group": group},
                         "routes": [{"local": f"10.{self.number}.{subnet}.0/24",
                                     "remote": f"10.{other.number}.{subnet}.0/24"}
                                    for subnet in range(number, routes, tunnels)]} for number in range(tunnels)],
        }

    def secrets(self, other: Node) -> Json:
        return {"version": 1, "gateways": {other.name: {"method": "psk", "psk": PSK}}}

    def declare(self, other: Node, **options: Any) -> None:
        for name, data in (("declaration", self.declaration(other, **options)), ("secrets", self.secrets(other))):
            file = self.directory / f"{name}.json"
            file.touch(0o600)
            file.write_text(json.dumps(data))

    def command(self, *words: str) -> list[str]:
        return ["ip", "netns", "exec", self.namespace, *words]

    def daemon_command(self, *options: str, before: Sequence[str] = ()) -> list[str]:
        files = ["--declaration", str(self.directory / "declaration.json"),
                 "--secrets", str(self.directory / "secrets.json"), "--control", str(self.control)]
        return self.command(*before, sys.executable, "-m", "ikeengine", *files, *options)

    def run_daemon(self, *options: str) -> subprocess.CompletedProcess[str]:
        """One that is expected to end by itself."""
        return subprocess.run(self.daemon_command(*options), capture_output=True, text=True, timeout=60, cwd=SOURCES)

    def start(self, *options: str, tun_mode: int | None = None) -> None:
        """Start the daemon, with a TUN device of its own where a mode is given, and wait until it answers."""
        own_tun = f'mount -t tmpfs net /dev/net && mknod -m {tun_mode or 0:o} /dev/net/tun c 10 200 && exec "$@"'
        command = self.daemon_command(*options, before=("sh", "-c", own_tun, "sh") if tun_mode else ())
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=SOURCES)
        deadline = time.monotonic() + 60
        while self._probe() != 0:
            assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)

    def stop(self) -> int:
        """SIGTERM, and its exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(30)
        self.process = None
        return status

    def _probe(self) -> int:
        with socket.socket(socket.AF_UNIX) as sock:
            return sock.connect_ex(str(self.control))

    def ikectl(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "ikeengine.cli", "--control", str(self.control), *words],
                              capture_output=True, text=True, timeout=60, cwd=SOURCES)

    def ask(self, *words: str) -> Json:
        done = self.ikectl(*words, "--json")
        assert done.returncode == 0, done.stderr
        result: Json = json.loads(done.stdout)
        return result

    def sas(self) -> list[Json]:
        return [sa for tunnel in self.ask("status")["tunnels"] for route in tunnel["routes"] for sa in route["sas"]]

    def reload(self) -> subprocess.CompletedProcess[str]:
        return self.ikectl("reload", "--declaration", str(self.directory / "declaration.json"),
                           "--secrets", str(self.directory / "secrets.json"), "--json")

    def ping(self, other: Node, count: int = 3) -> subprocess.CompletedProcess[str]:
        words = self.command("ping", "-c", str(count), "-i", "0.05", "-W", "1", "-I", self.lan, other.lan)
        return subprocess.run(words, capture_output=True, text=True, timeout=60)

    def logged(self) -> str:
        return self.log.read_text() if self.log.exists() else ""


class Site:
    """Both nodes."""

    def __init__(self, hq: Node, branch: Node) -> None:
        self.hq, self.branch = hq, branch

    def start(self, **branch_options: Any) -> None:
        self.hq.declare(self.branch)
        self.branch.declare(self.hq, **{"start": "answer", **branch_options})
        self.branch.start()
        self.hq.start()
        self.hq.ask("up", self.branch.name)
        self.branch.ask("up", self.hq.name)


@pytest.fixture
def site() -> Iterator[Site]:
    if os.geteuid() != 0:
        pytest.fail("this test makes network namespaces: run it as root")
    with tempfile.TemporaryDirectory(prefix="ikeengine-") as directory:
        root = Path(directory)
        root.chmod(0o755)  # pytest's own is root's alone, and a daemon that became another user must reach its socket
        yield from joined(root)


def joined(root: Path) -> Iterator[Site]:
    """Both, in namespaces of their own."""
    nodes = []
    for name, number in (("hq", 1), ("branch", 2)):
        (root / name).mkdir()
        nodes.append(Node(name, number, root / name))
    hq, branch = nodes
    try:
        for node in nodes:
            ip("netns", "add", node.namespace)
            ip("-n", node.namespace, "link", "set", "lo", "up")
        ip("link", "add", "out0", "netns", hq.namespace, "type", "veth", "peer", "name", "out0", "netns",
           branch.namespace)
        for node in nodes:
            ip("-n", node.namespace, "address", "add", f"{node.address}/24", "dev", "out0")
            ip("-n", node.namespace, "link", "set", "out0", "up")
            ip("-n", node.namespace, "address", "add", f"{node.lan}/32", "dev", "lo")
        yield Site(hq, branch)
    finally:
        for node in nodes:
            if node.process is not None:
                node.process.kill()
                node.process.wait()
            subprocess.run(["ip", "netns", "delete", node.namespace], capture_output=True)
