# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two daemons, a router between them, and pings at 100 a second: a NAT mapping that moves, an uplink that changes.

``tests/kernel`` runs the same on a kernel with ESP.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.interop.site import Engine, eventually
from tests.support.roaming import LONGEST, Pair
from tests.testbed.roaming import PUBLIC, UPLINKS, road

pytestmark = pytest.mark.hosts
VERSIONS = pytest.mark.parametrize("version", [1, 2], ids=["IKEv1", "IKEv2"])


@pytest.fixture
def pair() -> Iterator[Pair]:
    if os.geteuid() != 0:
        pytest.fail("this test makes network namespaces: run it as root")
    with road(f"mob{os.getpid() % 100000}") as made, tempfile.TemporaryDirectory(prefix="moving-") as folder:
        ends = Pair(made, Engine(made.head, Path(folder) / "h"), Engine(made.branch, Path(folder) / "b"))
        try:
            yield ends
        finally:
            ends.kill()


@VERSIONS
def test_a_moved_nat_mapping_is_followed(pair: Pair, version: int) -> None:
    pair.road.plug(0)
    pair.road.translate(PUBLIC[0], "20000-29999")
    pair.start(version, "userspace")
    before, spis = pair.ike(), pair.head.routes[0]["sas"][0]["spi_in"]
    assert before["remote"].startswith(f"{PUBLIC[0]}:2")
    for public, ports in ((PUBLIC[0], 3), (PUBLIC[1], 4)):
        move = partial(pair.road.translate, public, f"{ports}0000-{ports}9999")
        assert pair.outage(move) <= LONGEST, pair.logs()
        assert pair.ike()["remote"].startswith(f"{public}:{ports}")
    after = pair.ike()
    assert (after["spi_i"], pair.head.routes[0]["sas"][0]["spi_in"]) == (before["spi_i"], spis), "nothing was made anew"


@VERSIONS
def test_another_uplink_is_noticed_and_told(pair: Pair, version: int) -> None:
    pair.road.plug(0)
    pair.start(version, "userspace")
    before = pair.ike()
    gap = pair.outage(lambda: pair.road.plug(1))
    assert gap <= LONGEST, pair.logs()
    eventually(lambda: len(pair.head.gateway["ike"]) == 1, pair.logs, 20)
    after = pair.ike()
    assert after["remote"] == f"{UPLINKS[1][1]}:4500"
    assert (after["spi_i"] == before["spi_i"]) is (version == 2), "MOBIKE, or another IKE SA"
