# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A daemon that is flooded with first messages from forged addresses, and the honest peers that want in meanwhile."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ikeengine.vpn import declaration

from bench import hub
from bench.bed import Bed, Load
from bench.responders import Ours, cpu_seconds, memory_kib
from tests.support.virtual_network import VirtualNetwork
from tests.testbed import CHECKOUT

pytestmark = pytest.mark.hosts

SUITE = hub.Suite("modp2048", 14)
HONEST = 100
FORGED = range(1 << 16, (1 << 16) + 500)
"""Declared, and among those that the flood pretends to come from: without any, all would be turned away at once."""
RATE, SECONDS = 10_000, 10.0
MEMORY_KIB = 16 << 10


def test_ten_thousand_first_messages_a_second_keep_no_honest_peer_out(tmp_path: Path) -> None:
    seed = int(os.environ.get("TANDEM_SEED") or secrets.randbits(32))
    print(f"TANDEM_SEED={seed}")
    with Bed() as bed:
        ours = Ours(bed.hub, tmp_path, SUITE, [*range(1, HONEST + 1), *FORGED])
        pid = ours.start()
        honest = Load(bed, SUITE, HONEST, window=HONEST)
        try:
            argv = [*bed.spokes.entry, sys.executable, "-m", "tests.integration.daemon.half_open_flood"]
            flood = subprocess.Popen(argv, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            memory, cpu = memory_kib(pid), cpu_seconds(pid)
            assert flood.stdin is not None
            flood.stdin.write(json.dumps({"seed": seed, "message": _first_message(), "sources": hub.NOWHERE,
                                          "target": hub.HUB, "rate": RATE, "seconds": SECONDS}) + "\n")
            flood.stdin.flush()
            deadline = time.monotonic() + SECONDS / 2
            while "cookie_demanded" not in ours.counters()["datagrams_dropped"]:
                assert time.monotonic() < deadline, "no cookie was asked for"
                time.sleep(0.2)
            took = honest.bring_up(HONEST)
            still = flood.poll() is None
            sent = json.loads(flood.communicate(timeout=60)[0])
            grown, spent, after = memory_kib(pid) - memory, cpu_seconds(pid) - cpu, ours.counters()
        finally:
            honest.stop()
            ours.stop()
    dropped = after["datagrams_dropped"]
    print(f"{sent}; {HONEST} honest handshakes in {took:.1f} s; {grown} KiB more memory; {spent:.1f} s "
          f"of CPU; received {after['datagrams_received']}; {dropped}")
    assert sent["sent"] / sent["seconds"] >= 0.99 * RATE
    assert still, "the flood ended before the honest peers were through"
    assert dropped["cookie_demanded"] > sent["sent"] / 4  # the kernel drops the rest where the machine is busy
    assert grown < MEMORY_KIB


def _first_message() -> str:
    """What an honest spoke begins with."""
    side = declaration.read(hub.load(SUITE, [1]), secrets=hub.keys([1]))
    network = VirtualNetwork({hub.address(1): side})
    network.ends[hub.address(1)].manager.initiate("spoke1", network.now)
    network.run(0.01)
    return network.sent[0][1].data.hex()
