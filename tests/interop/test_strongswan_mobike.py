# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""MOBIKE with strongSwan at either end of a road whose uplinks and NATs change."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from tests.interop.moving import Bed
from tests.interop.site import eventually
from tests.support.roaming import LONGEST
from tests.testbed.roaming import HEAD, PUBLIC, UPLINKS, road

pytestmark = [pytest.mark.interop, pytest.mark.usefixtures("able")]


@pytest.fixture
def bed() -> Iterator[Bed]:
    with ExitStack() as stack:
        made = stack.enter_context(road(f"mbk{os.getpid() % 100000}"))
        # Not pytest's own folder: a socket's path is at most 100 octets long.
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="mobike-"))
        made.plug(0)
        bed = Bed(made, Path(folder), stack)
        yield bed
        print(bed.logs())


def test_we_follow_a_strongswan_that_moves(bed: Bed) -> None:
    bed.start("head")
    before = bed.ike()
    assert bed.outage(partial(bed.road.plug, 1)) <= LONGEST, bed.logs()
    assert bed.remote == f"{UPLINKS[1][1]}:4500" and bed.ike() == before
    assert "N(UPD_SA_ADDR)" in bed.theirs.log

    def behind_nat() -> None:
        bed.road.translate(PUBLIC[0], "20000-29999")
        bed.road.plug(0)

    assert bed.outage(behind_nat) <= LONGEST, bed.logs()
    assert bed.remote.startswith(f"{PUBLIC[0]}:2") and bed.ike() == before
    assert bed.outage(partial(bed.road.translate, PUBLIC[1], "30000-39999")) <= LONGEST, bed.logs()
    assert bed.remote.startswith(f"{PUBLIC[1]}:3") and bed.ike() == before


def test_strongswan_follows_us(bed: Bed) -> None:
    bed.start("branch")
    before = bed.ike()
    assert bed.outage(partial(bed.road.plug, 1)) <= LONGEST, bed.logs()
    assert bed.far()["remote-host"] == UPLINKS[1][1] and bed.ike() == before

    def behind_nat() -> None:
        bed.road.translate(PUBLIC[0], "20000-29999")
        bed.road.plug(0)

    assert bed.outage(behind_nat) <= LONGEST, bed.logs()
    assert bed.far()["remote-host"] == PUBLIC[0] and bed.ike() == before


def test_we_go_to_the_address_that_strongswan_tells_of(bed: Bed) -> None:
    bed.start("branch")
    before = bed.ike()
    second = "192.0.2.5"

    def move() -> None:
        bed.road.router.ip(f"route add {second}/32 dev head")
        bed.road.head.ip(f"address delete {HEAD}/24 dev wan", f"address add {second}/24 dev wan",
                         "route replace default via 192.0.2.254")

    bed.outage(move, 6)
    eventually(lambda: bed.remote == f"{second}:4500", bed.logs, 20)
    assert bed.ike() == before
