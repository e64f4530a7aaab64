# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A daemon under fire from the address of the peer that it has a tunnel with."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.testbed import CHECKOUT
from tests.testbed.capture import Capture, frames
from tests.testbed.network import Namespace

pytestmark = pytest.mark.hosts

Site = Any  # of conftest.py, which importlib mode keeps out of reach

COUNT = 100_000
SECONDS = 20.0
MEBIBYTE = 1 << 20


def test_a_hundred_thousand_hostile_datagrams_then_an_honest_peer(site: Site, tmp_path: Path) -> None:
    seed = int(os.environ.get("TANDEM_SEED") or secrets.randbits(32))
    print(f"TANDEM_SEED={seed}")
    with Capture(Namespace(site.hq.namespace), "out0", tmp_path / "honest.pcap") as honest:
        site.start()
        site.hq.ask("rekey", "branch")
        for node in (site.hq, site.branch):
            node.ask("rekey", "--tunnel", "lan")
        assert " 0% packet loss" in site.hq.ping(site.branch, 5).stdout
    messages, packets = _told_apart(honest.path.read_bytes())
    assert len(messages) >= 10 and len(packets) >= 10
    site.branch.process.kill()  # its SAs live on at hq
    site.branch.process.wait()

    before, memory = site.hq.ask("status"), _resident(site)
    began = time.monotonic()
    flood = {"seed": seed, "count": COUNT, "messages": messages, "packets": packets, "source": site.branch.address,
             "target": site.hq.address, "control": str(site.hq.control), "limit": SECONDS}
    done = subprocess.run(site.branch.command(sys.executable, "-m", "tests.integration.daemon.flood"), cwd=CHECKOUT,
                          input=json.dumps(flood) + "\n", capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    seconds, grown = time.monotonic() - began, _resident(site) - memory
    after = site.hq.ask("status")
    dropped = {name: count for name, count in _changes(before, after).items() if count}
    print(f"{COUNT} datagrams in {seconds:.1f} s; {grown / MEBIBYTE:.1f} MiB more memory; dropped {dropped}")
    assert sum(dropped.values()) >= 0.95 * COUNT
    assert {"malformed", "unknown_spi", "esp_unknown_spi", "inbound_integrity", "not_authentic",
            "cookie_demanded"} <= dropped.keys()
    assert grown < 20 * MEBIBYTE

    site.branch.declare(site.hq)
    site.branch.start()
    site.branch.ask("up", "hq")
    assert " 0% packet loss" in site.branch.ping(site.hq).stdout
    log = site.hq.logged()
    assert "Traceback" not in log and "failed inside" not in log, log
    assert len(log.splitlines()) < 200, log
    print(f"{len(log.splitlines())} lines of log")


def _told_apart(pcap: bytes) -> tuple[list[str], list[str]]:
    """IKE messages without marker, and ESP packets (RFC 3948 §2), in hexadecimal."""
    messages, packets = [], []
    for frame in frames(pcap):
        if frame[12:14] != b"\x08\x00" or frame[23] != 17:
            continue
        ports, payload = frame[34:38], frame[42:]
        if (500).to_bytes(2, "big") in (ports[:2], ports[2:]):
            messages.append(payload.hex())
        elif payload[:4] == bytes(4):
            messages.append(payload[4:].hex())
        else:
            packets.append(payload.hex())
    return messages, packets


def _resident(site: Site) -> int:
    """Octets of memory that hq's daemon holds."""
    pid = site.hq.ask("status")["daemon"]["pid"]
    return int(re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[1]) * 1024


def _changes(before: dict[str, Any], after: dict[str, Any]) -> dict[str, int]:
    """By how much each counter of drops has grown."""
    return {name: count - before["counters"][kind].get(name, 0)
            for kind in ("datagrams_dropped", "packets_dropped")
            for name, count in after["counters"][kind].items()}
