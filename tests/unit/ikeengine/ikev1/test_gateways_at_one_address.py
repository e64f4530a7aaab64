# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several gateways between the same two addresses: in Main Mode only message 5 tells which of them the peer is."""

from __future__ import annotations

from typing import Any

import pytest
from ikeengine.vpn import declaration
from ikeengine.vpn.model import Side

from tests.support.ikev1 import PROPOSAL, TRANSFORM
from tests.support.virtual_network import BRANCH, HQ, PSK, pair

LIVES = {"one": 86400, "two": 3600}


def site(name: str, here: str, there: str, gateways: dict[str, tuple[str, str]], start: str = "answer") -> Side:
    """``gateways`` has the local and the remote identifier of each; each has a life of its own."""
    def end(address: str, value: str) -> dict[str, Any]:
        return {"address": address, "identifier": {"type": "domain-name", "value": value}}

    return declaration.read({
        "site": {"name": name}, "proposals": [PROPOSAL],
        "transforms": [{**TRANSFORM, "name": row, "sa_life": f"{LIVES[row]}s"} for row in gateways],
        "gateways": [{"name": row, "ike_version": 1, "mode": "main", "credential": {"method": "psk", "psk": PSK},
                      "endpoints": [{"local": end(here, local), "remote": end(there, remote)}], "transforms": [row],
                      "start": start} for row, (local, remote) in gateways.items()],
        "tunnels": [{"name": row, "gateway": row, "proposals": ["p2"], "pfs": {"enabled": False},
                     "routes": [{"local": "10.1.0.0/24", "remote": "10.2.0.0/24"}]} for row in list(gateways)[:1]]})


@pytest.mark.parametrize("who", LIVES)
def test_the_peer_is_the_gateway_of_its_identifier_with_that_gateway_s_life(who):
    names = {row: ("hq.example", f"{row}.example") for row in LIVES}
    network, one, _other = pair(
        site("hq", HQ, BRANCH, names),
        site("branch", BRANCH, HQ, {who: names[who][::-1]}, start="boot"))
    network.start()
    network.run(1)
    assert {row.name: row.state for row in one.manager.overview.gateways()} == {
        row: "established" if row == who else "down" for row in LIVES}
    (session,) = one.manager._sessions.of(who)
    assert session.expires_at - session.established_at == LIVES[who]
