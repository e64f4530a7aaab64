# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two daemons on a road: what they declare, and how long nothing passes when the road changes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tests.interop.site import PSK, Engine, eventually, secrets
from tests.testbed.roaming import BRANCH_LAN, HEAD, HEAD_LAN, Road, begin_pings, longest_gap

Json = dict[str, Any]
LONGEST = 2.0
"""Seconds that a moved mapping may take away from a flow."""


def end(name: str, address: str) -> Json:
    return {"address": address, "identifier": {"type": "domain-name", "value": f"{name}.example"}}


def declared(site: str, version: int, dataplane: str, **gateway: Any) -> Json:
    """What ``head`` or ``branch`` declares. The head office knows the branch by its name, the branch itself by none of
    its addresses."""
    is_head = site == "head"
    ends = {"local": end("head", HEAD), "remote": end("branch", "dynamic")}
    ends = ends if is_head else {"local": ends["remote"], "remote": ends["local"]}
    route = [f"{HEAD_LAN}/32", f"{BRANCH_LAN}/32"][::1 if is_head else -1]
    group = 31 if version == 2 else 14
    return {
        "version": 1, "site": {"name": site},
        "transforms": [{"name": "p1", "encryption": "AES-256", "authentication": "SHA2-256", "key_group": group}],
        "proposals": [{"name": "p2", "protocol": "ESP", "encryption": "AES-256", "authentication": "SHA2-256"}],
        "gateways": [{"name": "peer", "ike_version": version, "credential": {"method": "psk"}, "endpoints": [ends],
                      "transforms": ["p1"], "start": "answer" if is_head else "boot",
                      **({"mode": "aggressive"} if version == 1 else {}), **gateway}],
        "tunnels": [{"name": "lan", "gateway": "peer", "proposals": ["p2"], "dataplane": dataplane,
                     "routes": [dict(zip(("local", "remote"), route, strict=True))],
                     "pfs": {"enabled": True, "key_group": group}}],
    }


class Pair:
    """The daemons at both ends of the road."""

    def __init__(self, road: Road, head: Engine, branch: Engine) -> None:
        self.road, self.head, self.branch = road, head, branch

    def start(self, version: int, dataplane: str, **gateway: Any) -> None:
        """Both run, and the tunnel is up."""
        for site, engine in (("head", self.head), ("branch", self.branch)):
            engine.start(declared(site, version, dataplane, **gateway), secrets("peer", PSK))
        eventually(self.is_up, self.logs, 20)

    def kill(self) -> None:
        self.head.kill()
        self.branch.kill()

    def is_up(self) -> bool:
        return all(len(engine.routes[0]["sas"]) == 1 for engine in (self.head, self.branch))

    def ike(self) -> Json:
        """The head office's only IKE SA."""
        (ike,) = self.head.gateway["ike"]
        return dict(ike)

    def logs(self) -> str:
        return f"--- head:\n{self.head.log}\n--- branch:\n{self.branch.log}"

    def outage(self, change: Callable[[], object], *, seconds: float = 3.0) -> float:
        return outage(self.road, change, seconds)


def outage(road: Road, change: Callable[[], object], seconds: float) -> float:
    """How long, in seconds, no ping passes when that happens in the middle of a flow of `seconds`."""
    ping = begin_pings(road.branch, BRANCH_LAN, HEAD_LAN, seconds)
    try:
        time.sleep(1)
        change()
        gap, sent, lost = longest_gap(ping)
    finally:
        ping.kill()
        ping.wait()
    print(f"no ping passed for {gap:.2f} s; {lost} of {sent} were lost")
    return gap
