# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two daemons with IKEv1 over a network that drops, duplicates and reorders, while operators and data planes order this
and that. IKEv1 answers neither message 3 of Quick Mode nor a DELETE, so each of them may be lost for good."""

from __future__ import annotations

import contextlib
import random

import pytest

from tests.support.ikev1 import TRANSFORM, branch, hq
from tests.support.virtual_network import End, Faults, VirtualNetwork, agree, pair

ROUTES = tuple((f"10.1.{number}.0/24", f"10.2.{number}.0/24") for number in range(3))
ORDERS, CALM_AT = 25, 1300.0


def declared(choice: random.Random) -> dict[str, object]:
    gateway: dict[str, object] = {"mode": choice.choice(["main", "aggressive", "main-fallback-aggressive"])}
    if choice.random() < 0.3:
        gateway["dead_peer_detection"] = {"enabled": False}
    if choice.random() < 0.3:
        gateway["ike_keep_alive"] = {"enabled": True, "interval": 10, "failures": 5}
    return {"routes": ROUTES, "tunnels": choice.choice([1, 3]), "gateway": gateway, "pfs": {"enabled": False},
            "transforms": ({**TRANSFORM, "key_group": 19},)}


def order(network: VirtualNetwork, end: End, choice: random.Random) -> None:
    manager, now = end.manager, network.now
    what = choice.choice(["ike", "ike", "child", "child", "soft", "hard", "down", "traffic", "nothing"])
    with contextlib.suppress(LookupError):  # nothing may be up to be rekeyed
        if what == "ike":
            manager.rekey_ike("peer", now)
        elif what == "child":
            manager.rekey_child(choice.choice(manager.overview.tunnels()).name, now)
        elif what in ("soft", "hard") and end.inbound:
            manager.expire(choice.choice(sorted(end.inbound)), now, hard=what == "hard")
        elif what == "down":
            manager.terminate("peer", now)
            network.run(choice.choice([0.01, 0.5, 3]))
            manager.initiate("peer", network.now)
        elif what == "traffic":
            network.traffic()


@pytest.mark.parametrize("seed", range(60))
def test_they_agree_when_all_is_calm(seed):
    choice = random.Random(seed)
    changes = declared(choice)
    starts = choice.choice([("boot", "answer"), ("boot", "boot"), ("answer", "boot")])
    encapsulated = choice.random() < 0.3
    faults = Faults(drop=choice.choice([0, 0.05]), duplicate=choice.choice([0, 0.2]), reorder=choice.choice([0, 0.4]),
                    until=CALM_AT)
    network, one, other = pair(hq(start=starts[0], **changes), branch(start=starts[1], **changes), seed=seed,
                               faults=faults, encapsulate=lambda _gateway: encapsulated)
    network.start()
    for _order in range(ORDERS):
        network.run(choice.choice([0.015, 0.05, 0.3, 2, 7]))
        order(network, choice.choice([one, other]), choice)
    for end in (one, other):
        end.manager.initiate("peer", network.now)
    network.run(CALM_AT + 200 - network.now)
    agree(one, other, routes=3)
    for end in (one, other):
        (session,) = end.manager._sessions.of("peer")
        assert list(end.manager._sessions) == [session]
        assert [child.state.value for child in session.children] == ["installed"] * 3
        assert all(row.state == "up" for row in end.manager.overview.tunnels())
    before = set(one.inbound)
    network.run(9 * 3600)
    agree(one, other, routes=3)
    assert not before & set(one.inbound)
