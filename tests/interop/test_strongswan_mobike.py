# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""MOBIKE with strongSwan at either end of a road whose uplinks and NATs change."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.interop.site import PSK, Engine, eventually, secrets
from tests.support.roaming import LONGEST, declared, outage
from tests.testbed.network import Namespace
from tests.testbed.roaming import BRANCH_LAN, HEAD, HEAD_LAN, PUBLIC, UPLINKS, Road, road
from tests.testbed.strongswan import Charon

pytestmark = [pytest.mark.interop, pytest.mark.usefixtures("able")]

CONNECTION = """
connections {{
  peer {{
    version = 2
    {addresses}
    proposals = aes256-sha256-curve25519
    mobike = yes
    local {{
      auth = psk
      id = {local}.example
    }}
    remote {{
      auth = psk
      id = {remote}.example
    }}
    children {{
      lan {{
        local_ts = {local_ts}/32
        remote_ts = {remote_ts}/32
        esp_proposals = aes256-sha256-curve25519
      }}
    }}
  }}
}}
secrets {{
  ike-peer {{
    secret = "{psk}"
  }}
}}
"""


class Bed:
    """The road, with ikeengine at one end and strongSwan at the other."""

    def __init__(self, made: Road, folder: Path, stack: ExitStack) -> None:
        self.road, self._folder, self._stack = made, folder, stack

    def start(self, ours: str) -> None:
        """``ours`` is the end that ikeengine has: head, or branch, which initiates."""
        end: dict[str, Namespace] = {"head": self.road.head, "branch": self.road.branch}
        theirs = "branch" if ours == "head" else "head"
        self.theirs = self._stack.enter_context(Charon(end[theirs], self._folder / "charon", detail=1))
        lans = (BRANCH_LAN, HEAD_LAN) if theirs == "branch" else (HEAD_LAN, BRANCH_LAN)
        self.theirs.load(CONNECTION.format(
            addresses=f"remote_addrs = {HEAD}" if theirs == "branch" else "", local=theirs, remote=ours,
            local_ts=lans[0], remote_ts=lans[1], psk=PSK))
        self.ours = Engine(end[ours], self._folder / "ikeengine")
        self._stack.callback(self.ours.kill)
        self.ours.start(declared(ours, 2, "userspace"), secrets("peer", PSK))
        if theirs == "branch":
            self.theirs.initiate("lan")
        eventually(lambda: len(self.ours.routes[0]["sas"]) == 1, self.logs, 20)

    def outage(self, change: Callable[[], object], seconds: float = 4.0) -> float:
        return outage(self.road, change, seconds)

    def ike(self) -> str:
        """The IKE SA's SPI. Child SAs cannot move in strongSwan's userspace data plane, so it rekeys them."""
        (ike,) = self.ours.gateway["ike"]
        return str(ike["spi_i"])

    @property
    def remote(self) -> str:
        (ike,) = self.ours.gateway["ike"]
        return str(ike["remote"])

    def far(self) -> dict[str, Any]:
        (ike,) = self.theirs.list_sas()
        return ike

    def logs(self) -> str:
        return f"--- ikeengine:\n{self.ours.log}\n--- strongSwan:\n{self.theirs.log}"


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
