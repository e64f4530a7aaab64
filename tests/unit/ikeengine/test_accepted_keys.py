# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two ends that change their pre-shared key: at each step of it, whoever initiates, they take each other."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from ikeengine.ikev2 import authentication as of_ikev2

from tests.support import ikev1
from tests.support import virtual_network as ikev2
from tests.support.virtual_network import agree, pair

OLD, NEW, THIRD = "the old key of good length", "the new key of good length", "a third key of good length"
STEPS = {"old": (OLD, []), "accepts both": (OLD, [NEW]), "switched": (NEW, [OLD]), "new": (NEW, [])}
APART = ({"old", "switched"}, {"old", "new"}, {"accepts both", "new"})
"""Where one end proves itself by what the other does not take."""
KINDS = {"ikev2": (ikev2, {}), "main": (ikev1, {"mode": "main"}), "aggressive": (ikev1, {"mode": "aggressive"})}


def met(kind: str, left: tuple[str, list[str]], right: tuple[str, list[str]], **options: Any):
    """Two ends, the left of which initiates."""
    support, gateway = KINDS[kind]

    def of(key: str, accepted: list[str]) -> dict[str, Any]:
        return {"gateway": {**gateway, "credential": {"method": "psk", "psk": key, "also_accepted": accepted}}}

    network, one, other = pair(support.hq(**of(*left)), support.branch(**{**of(*right), "start": "answer"}), **options)
    network.start()
    network.run(1)
    return network, one, other


def suites(end) -> int:
    return len(end.manager.overview.gateways()[0].ike)


@pytest.mark.parametrize(("left", "right"), list(product(STEPS, STEPS)))
@pytest.mark.parametrize("kind", KINDS)
def test_at_each_step_of_a_change_the_two_ends_meet(kind: str, left: str, right: str):
    network, one, other = met(kind, STEPS[left], STEPS[right])
    here, there = STEPS[left], STEPS[right]
    # In Main Mode and IKEv2 the responder goes by the initiator's key, in Aggressive Mode it is the other way round. An
    # initiator whose key is refused tries the others that it accepts.
    known = (there[0] in (here[0], *here[1])) if kind == "aggressive" else (here[0] in (there[0], *there[1]))
    later = kind != "aggressive" and there[0] in here[1]
    assert known or {left, right} in APART
    if known:
        assert one.reasons == other.reasons == []
    elif later:
        network.run(90)
    if known or later:
        agree(one, other, routes=1)
        network.run(1)
        for order in (lambda: one.manager.rekey_child("lan", network.now),
                      lambda: other.manager.rekey_child("lan", network.now)):
            order()
            network.run(8)
            agree(one, other, routes=1)
    else:
        assert suites(one) == suites(other) == 0
        assert any("pre-shared key" in reason for reason in other.reasons + one.reasons)


@pytest.mark.parametrize("kind", ["ikev2", "main"])
def test_a_peer_that_was_set_to_the_new_key_alone_is_met_by_that_when_it_refuses_ours(kind: str):
    """Somebody else configures it, and nobody told us when."""
    network, one, other = met(kind, STEPS["accepts both"], STEPS["new"])
    network.run(90)
    agree(one, other, routes=1)
    assert [row.credential_in_force for row in one.manager.overview.gateways()[0].ike] == [False]
    assert [row.credential_in_force for row in other.manager.overview.gateways()[0].ike] == [True]


@pytest.mark.parametrize("kind", KINDS)
def test_a_third_key_is_taken_by_neither(kind: str):
    _network, one, other = met(kind, (THIRD, []), (OLD, [NEW]))
    assert suites(one) == suites(other) == 0
    assert any("has one pre-shared key" in reason for reason in other.reasons + one.reasons)


def test_each_accepted_key_is_tried_whichever_it_is(monkeypatch: pytest.MonkeyPatch):
    """So that the time that it takes tells nobody which of the keys the peer has."""
    tried = []
    original = of_ikev2.psk_auth
    monkeypatch.setattr(of_ikev2, "psk_auth", lambda prf, key, octets: tried.append(key) or original(prf, key, octets))
    counts = []
    for key in (OLD, NEW, THIRD):
        tried.clear()
        _network, one, other = met("ikev2", (key, []), (OLD, [NEW, THIRD]))
        agree(one, other, routes=1)
        counts.append(len(tried))
    assert counts == [6, 6, 6]  # either end's own proof, three at the responder, one at the initiator for its own key


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_bad_network_repeats_is_taken_under_the_other_key_too(kind: str):
    faults = ikev2.Faults(drop=0.2, duplicate=0.3, reorder=0.3, until=1030)
    network, one, other = met(kind, STEPS["switched"], STEPS["accepts both"], seed=7151, faults=faults)
    network.run(120)
    agree(one, other, routes=1)
