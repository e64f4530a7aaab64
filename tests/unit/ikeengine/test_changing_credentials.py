# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A credential changes at both ends, step by step, under traffic: the new one is proved, and no packet is lost."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest
from ikeengine.ike.events import IkeEstablished, IkeRekeyed
from ikeengine.ike.refusal import Refusal
from ikeengine.ikev2 import rekey_ike
from ikeengine.ikev2.session import Ikev2Session
from ikeengine.vpn.model import Credential, Side
from ikeengine.vpn.rotation import Step, towards
from ikeengine.wire.constants import NotifyType

from tests.support import certificates, ikev1, virtual_network
from tests.support.traffic import Traffic
from tests.support.virtual_network import BRANCH, EPOCH, HQ, End, VirtualNetwork, agree, pair

OLD, NEW = "the old key of good length", "the new key of good length"
KINDS = {"ikev2": (virtual_network, {}), "main": (ikev1, {"mode": "main"}),
         "aggressive": (ikev1, {"mode": "aggressive"})}
NOW = datetime.fromtimestamp(EPOCH, UTC)
ROOTS = [certificates.issue(f"CN=root {name}", authority=True) for name in "ab"]
OWN = {site: [certificates.issue(f"CN={site}", root, alternative=[address]) for root in ROOTS]
       for site, address in (("hq", HQ), ("branch", BRANCH))}


def sides(kind: str, credentials: tuple[dict[str, Any], dict[str, Any]], **branch: Any) -> list[Side]:
    support, gateway = KINDS[kind]
    both = {name: branch[name] for name in ("transforms",) if name in branch}
    return [support.hq(gateway={**gateway, "credential": credentials[0]}, **both),
            support.branch(gateway={**gateway, "credential": credentials[1]}, **{"start": "answer", **branch})]


def with_credential(side: Side, credential: Credential) -> Side:
    return replace(side, gateways=(replace(side.gateways[0], credential=credential),))


def of(side: Side) -> Credential:
    return side.gateways[0].credential


def keys(kind: str, **branch: Any) -> tuple[list[Side], list[Side]]:
    return tuple(sides(kind, ({"method": "psk", "psk": key},) * 2, **branch) for key in (OLD, NEW))  # type: ignore[return-value]


def authorities(kind: str, **branch: Any) -> tuple[list[Side], list[Side]]:
    return tuple(sides(kind, tuple(certificates.credential(OWN[site][which], ROOTS[which])  # type: ignore[return-value]
                                   for site in ("hq", "branch")), **branch) for which in (0, 1))


def in_force(end: End) -> list[bool]:
    return [row.credential_in_force for row in end.manager.overview.gateways()[0].ike]


def up(before: list[Side], **options: Any) -> tuple[VirtualNetwork, list[End], Traffic]:
    network, one, other = pair(*before, **options)
    network.start()
    network.run(10)
    agree(one, other, routes=1)
    return network, [one, other], Traffic(network)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["initiator first", "responder first"])
@pytest.mark.parametrize("pause", [0.0, 0.015, 1.0, 12.0])
@pytest.mark.parametrize(("kind", "what"), [*product(KINDS, (keys,)), ("ikev2", authorities), ("main", authorities)])
def test_step_by_step_nothing_is_lost(kind: str, what: Any, pause: float, order: tuple[int, int]):
    before, after = what(kind)
    network, ends, traffic = up(before)
    spis = [row.spi_i for row in ends[0].manager.overview.gateways()[0].ike]
    held = [of(side) for side in before]
    for step in Step:
        for end in order:
            held[end] = towards(held[end], of(after[end]), step)
            ends[end].manager.reload(with_credential(after[end], held[end]), network.now)
            traffic.run(pause)
        traffic.run(12)
        assert traffic.lost == []
        network.run(8)  # the other end proves itself within six seconds; IKEv1 rekeys within five, and keeps for five
        agree(*ends, routes=1)
        if step is Step.ACCEPT:  # what is up needs not be made anew, since each shows the same as before
            assert [row.spi_i for row in ends[0].manager.overview.gateways()[0].ike] == spis
        else:
            assert [row.spi_i for row in ends[0].manager.overview.gateways()[0].ike] != spis
            assert in_force(ends[0]) == in_force(ends[1]) == [True]
    assert held == [of(side) for side in after]
    assert ends[0].reasons == ends[1].reasons == []
    assert traffic.sent > 5000


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("first", [0, 1], ids=["initiator", "responder"])
def test_a_change_at_one_end_alone_loses_nothing_and_says_why(kind: str, first: int):
    """Somebody set another key here, and nobody there: what is up stays, and the new key is proved once both do."""
    before, after = keys(kind, start="boot")
    network, ends, traffic = up(before)
    ends[first].manager.reload(after[first], network.now)
    traffic.run(30)
    assert traffic.lost == []
    agree(*ends, routes=1)
    gateway = ends[first].manager.overview.gateways()[0]
    assert in_force(ends[first]) == [False] and "credential" in (gateway.last_error or "")
    ends[1 - first].manager.reload(after[1 - first], network.now)
    traffic.run(60)
    assert traffic.lost == []
    agree(*ends, routes=1)
    assert in_force(ends[0]) == in_force(ends[1]) == [True]


@pytest.mark.parametrize("first", [0, 1], ids=["initiator", "responder"])
def test_what_came_up_by_a_key_that_one_end_took_back_ends_with_its_life(first: int):
    """Rekeyed by either end it would live for ever; so does it not, though both try."""
    before, after = keys("ikev2", start="boot", transforms=({**virtual_network.TRANSFORM, "sa_life": "10m"},))
    network, ends, _traffic = up(before)
    ends[first].manager.reload(after[first], network.now)
    network.run(400)
    agree(*ends, routes=1)
    network.run(195)
    assert not ends[0].inbound and not ends[1].inbound
    ends[1 - first].manager.reload(after[1 - first], network.now)
    network.run(80)
    agree(*ends, routes=1)
    assert in_force(ends[0]) == in_force(ends[1]) == [True]


@pytest.mark.parametrize("first", [0, 1], ids=["initiator", "responder"])
def test_an_order_to_rekey_what_is_not_proved_any_more_has_the_ends_authenticate_anew(first: int):
    before, after = keys("ikev2", start="boot")
    network, ends, traffic = up(before)
    ends[first].manager.reload(after[first], network.now)
    network.run(30)
    ends[1 - first].manager._adopt(after[1 - first])  # the peer's software does nothing by itself
    ends[1 - first].manager.rekey_ike("peer", network.now)
    traffic.run(12)
    assert traffic.lost == [] and not any(end.count(IkeRekeyed) for end in ends)
    agree(*ends, routes=1)
    assert in_force(ends[0]) == in_force(ends[1]) == [True]


def test_a_peer_that_rekeys_no_ike_sa_is_authenticated_anew_instead(monkeypatch: pytest.MonkeyPatch):
    """RFC 7296 section 4: it answers NO_ADDITIONAL_SAS."""
    def never(_session: Ikev2Session) -> None:
        raise Refusal(NotifyType.NO_ADDITIONAL_SAS, "")

    monkeypatch.setattr(rekey_ike, "_check_proofs", never)
    before, _after = keys("ikev2")
    network, ends, traffic = up(before)
    spi = ends[0].manager.overview.gateways()[0].ike[0].spi_i
    ends[0].manager.rekey_ike("peer", network.now)
    traffic.run(12)
    assert traffic.lost == []
    agree(*ends, routes=1)
    assert [row.spi_i for row in ends[0].manager.overview.gateways()[0].ike] != [spi]
    network.run(25 * 3600)
    agree(*ends, routes=1)
    assert ends[0].count(IkeEstablished) <= 4


@pytest.mark.parametrize("kind", ["ikev2", "main"])
def test_a_peer_whose_certificate_is_revoked_goes_at_once(kind: str):
    before, _after = authorities(kind)
    network, ends, _traffic = up(before)
    revoked = certificates.revocation_list(ROOTS[0], OWN["branch"][0], this_update=NOW - timedelta(days=1))
    ends[0].manager.reload(with_credential(before[0], replace(of(before[0]), crl=(revoked,))), network.now)
    network.run(1)
    assert not ends[0].inbound and not ends[1].inbound
    assert any("not trusted any more" in reason and "revoked" in reason for reason in ends[0].closings)


@pytest.mark.parametrize("kind", ["ikev2", "main"])
def test_a_list_that_revokes_nobody_of_ours_touches_nothing(kind: str):
    before, _after = authorities(kind)
    network, ends, traffic = up(before)
    empty = certificates.revocation_list(ROOTS[0], this_update=NOW - timedelta(days=1))
    sent = len(network.sent)
    ends[0].manager.reload(with_credential(before[0], replace(of(before[0]), crl=(empty,))), network.now)
    traffic.run(1)
    assert (len(network.sent), traffic.lost, in_force(ends[0])) == (sent, [], [True])


@pytest.mark.parametrize("kind", KINDS)
def test_over_a_bad_network_a_change_comes_to_its_end(kind: str):
    before, after = keys(kind)
    network, ends, _traffic = up(before, seed=7151)
    network.faults = virtual_network.Faults(drop=0.2, duplicate=0.2, reorder=0.3, until=network.now + 60)
    held = [of(side) for side in before]
    for step in Step:
        for end in (0, 1):
            held[end] = towards(held[end], of(after[end]), step)
            ends[end].manager.reload(with_credential(after[end], held[end]), network.now)
        network.run(25)
    network.run(120)
    agree(*ends, routes=1)
    assert in_force(ends[0]) == in_force(ends[1]) == [True]


@pytest.mark.parametrize("kind", ["ikev2", "main"])
def test_an_end_that_accepts_both_finds_out_that_the_peer_was_set_to_the_new_key(kind: str):
    """By authenticating anew, without a lost packet; the peer's operator told nobody, and what is up goes on."""
    before, after = keys(kind)
    network, ends, traffic = up(before)
    accepting = towards(of(before[0]), of(after[0]), Step.ACCEPT)
    ends[0].manager.reload(with_credential(before[0], accepting), network.now)
    # The peer's software closes nothing, nor does it authenticate anew by itself.
    side = with_credential(before[1], of(after[1]))
    ends[1].manager._adopt(side)
    assert in_force(ends[0]) == [True]
    assert ends[0].manager.replace("peer", network.now)
    traffic.run(12 if kind == "ikev2" else 60)
    assert traffic.lost == []
    agree(*ends, routes=1)
    assert in_force(ends[0]) == [False] and in_force(ends[1]) == [True]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_key_in_another_form_needs_no_proof(kind: str):
    before, _after = keys(kind)
    network, ends, traffic = up(before)
    sent = len(network.sent)
    same = sides(kind, ({"method": "hex-psk", "psk": OLD.encode().hex()},) * 2)
    ends[0].manager.reload(same[0], network.now)
    traffic.run(1)
    assert (len(network.sent), traffic.lost, in_force(ends[0])) == (sent, [], [True])
