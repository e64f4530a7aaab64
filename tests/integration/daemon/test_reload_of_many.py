# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two hundred tunnels, of which a reload changes one: real processes, userspace ESP."""

from __future__ import annotations

import json
import re
import subprocess
import time
from typing import Any

import pytest

pytestmark = [pytest.mark.hosts, pytest.mark.slow]

Site = Any  # of conftest.py, which importlib mode keeps out of reach
TUNNELS = 200
CHANGED, WATCHED = 77, (0, 1, 50, 76, 78, 120, 198, 199)
SECONDS, RATE = 6, 100


def test_a_reload_that_changes_one_of_two_hundred_tunnels_loses_no_packet_of_the_others(site: Site) -> None:
    nodes = site.hq, site.branch
    for node, other, start in ((site.hq, site.branch, "boot"), (site.branch, site.hq, "answer")):
        node.declare(other, routes=TUNNELS, tunnels=TUNNELS, start=start)
        for subnet in WATCHED:
            words = ("address", "add", f"10.{node.number}.{subnet}.1/32", "dev", "lo")
            subprocess.run(node.command("ip", *words), check=subnet > 0, capture_output=True)
    site.branch.start()
    site.hq.start()
    deadline = time.monotonic() + 60
    while any(len(node.sas()) < TUNNELS for node in nodes):
        assert time.monotonic() < deadline, site.hq.logged()
        time.sleep(0.3)
    before = {sa["spi_in"] for sa in site.hq.sas()}
    streams = [subprocess.Popen(site.hq.command("ping", "-q", "-c", str(SECONDS * RATE), "-i", str(1 / RATE), "-W", "2",
                                                "-I", f"10.1.{subnet}.1", f"10.2.{subnet}.1"),
                                stdout=subprocess.PIPE, text=True) for subnet in WATCHED]
    time.sleep(SECONDS / 3)
    for node in nodes:
        file = node.directory / "declaration.json"
        declared = json.loads(file.read_text())
        declared["tunnels"][CHANGED]["pfs"] = {"enabled": True, "key_group": 19}
        file.write_text(json.dumps(declared))
        changes = json.loads(node.reload().stdout)
        assert (changes["changed"], len(changes["unchanged"])) == ([f"tunnel lan{CHANGED}"], TUNNELS)
    told = [stream.communicate(timeout=60)[0] for stream in streams]
    sent = sum(int(re.search(r"(\d+) packets transmitted", each)[1]) for each in told)
    received = sum(int(re.search(r"(\d+) received", each)[1]) for each in told)
    print(f"{sent} pings over {len(WATCHED)} of {TUNNELS} tunnels while one other changed at either end: "
          f"{sent - received} lost")
    assert received == sent == len(WATCHED) * SECONDS * RATE
    site.hq.ask("up", "--tunnel", f"lan{CHANGED}")
    assert len(before & {sa["spi_in"] for sa in site.hq.sas()}) == TUNNELS - 1
