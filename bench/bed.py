# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a hub and the load on it run: a namespace each, joined by a cable."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from bench import hub
from tests.testbed.network import Namespace, ip, tidy

ROOT = Path(__file__).resolve().parents[1]


class Bed:
    """Two namespaces joined by a cable: the hub's, and one that has every spoke's address."""

    def __init__(self) -> None:
        self.hub, self.spokes = (Namespace(f"bench{os.getpid()}{end}") for end in ("hub", "load"))

    def __enter__(self) -> Bed:
        for namespace in (self.hub, self.spokes):
            namespace.create()
        ip(f"link add cable netns {self.hub.name} type veth peer name cable netns {self.spokes.name}")
        self.hub.ip(f"address add {hub.HUB}/24 dev cable", "link set cable up",
                    *(f"route add {network} via 192.0.2.2" for network in (hub.SPOKES, hub.NOWHERE)),
                    f"address add {hub.LAN.replace('.0/', '.1/')} dev lo")
        self.spokes.ip("address add 192.0.2.2/24 dev cable", "link set cable up",
                       f"route add local {hub.SPOKES} dev lo")
        return self

    def __exit__(self, *_: object) -> None:
        for namespace in (self.hub, self.spokes):
            namespace.delete()
        tidy()


class Load:
    """`bench.load` as a process; the options are further fields of its ``Load``."""

    def __init__(self, bed: Bed, suite: hub.Suite, spokes: int, **options: float) -> None:
        self._process = subprocess.Popen([*bed.spokes.entry, sys.executable, "-m", "bench.load"], cwd=ROOT, text=True,
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._ask(json.dumps({"suite": asdict(suite), "spokes": spokes, **options}))

    def bring_up(self, count: int) -> float:
        """So many more spokes begin; returns the seconds until they were up."""
        return float(json.loads(self._ask(f"begin {count}"))["seconds"])

    def come_up(self, count: int) -> float:
        """Wait for so many more that the hub begins; returns when the last was up, by `time.monotonic`."""
        return float(json.loads(self._ask(f"await {count}"))["ended"])

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _ask(self, line: str) -> str:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit("the load gave up: see above")
        return answer
