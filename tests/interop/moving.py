# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ikeengine at one end of a road whose uplinks and NATs change, strongSwan with MOBIKE at the other."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.interop.site import PSK, Engine, eventually, secrets
from tests.support.roaming import declared, outage
from tests.testbed.network import Namespace
from tests.testbed.roaming import BRANCH_LAN, HEAD, HEAD_LAN, Road
from tests.testbed.strongswan import LIBIPSEC, Charon

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

    def __init__(self, made: Road, folder: Path, stack: ExitStack, *, dataplane: str = "userspace",
                 kernel: str = LIBIPSEC) -> None:
        """``dataplane`` is ikeengine's, ``kernel`` strongSwan's."""
        self.road, self._folder, self._stack = made, folder, stack
        self._dataplane, self._kernel = dataplane, kernel

    def start(self, ours: str) -> None:
        """``ours`` is the end that ikeengine has: head, or branch, which initiates."""
        end: dict[str, Namespace] = {"head": self.road.head, "branch": self.road.branch}
        theirs = "branch" if ours == "head" else "head"
        charon = Charon(end[theirs], self._folder / "charon", kernel=self._kernel, detail=1)
        self.theirs = self._stack.enter_context(charon)
        lans = (BRANCH_LAN, HEAD_LAN) if theirs == "branch" else (HEAD_LAN, BRANCH_LAN)
        self.theirs.load(CONNECTION.format(
            addresses=f"remote_addrs = {HEAD}" if theirs == "branch" else "", local=theirs, remote=ours,
            local_ts=lans[0], remote_ts=lans[1], psk=PSK))
        self.ours = Engine(end[ours], self._folder / "ikeengine")
        self._stack.callback(self.ours.kill)
        self.ours.start(declared(ours, 2, self._dataplane), secrets("peer", PSK))
        if theirs == "branch":
            self.theirs.initiate("lan")
        eventually(lambda: len(self.ours.routes[0]["sas"]) == 1, self.logs, 20)

    def outage(self, change: Callable[[], object], seconds: float = 3.0) -> float:
        return outage(self.road, change, seconds)

    def ike(self) -> str:
        """The IKE SA's SPI. Child SAs cannot move in strongSwan's userspace data plane, so it rekeys them."""
        (ike,) = self.ours.gateway["ike"]
        return str(ike["spi_i"])

    @property
    def child(self) -> dict[str, Any]:
        """Our side of the child SA."""
        (child,) = self.ours.routes[0]["sas"]
        return dict(child)

    @property
    def remote(self) -> str:
        (ike,) = self.ours.gateway["ike"]
        return str(ike["remote"])

    def far(self) -> dict[str, Any]:
        (ike,) = self.theirs.list_sas()
        return dict(ike)

    def logs(self) -> str:
        return f"--- ikeengine:\n{self.ours.log}\n--- strongSwan:\n{self.theirs.log}"
