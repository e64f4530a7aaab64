# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the peer does not rekey is asked for again, more and more seldom, while it serves on."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from ikeengine.ike.context import Settings
from ikeengine.ike.events import ChildRemoved, Failed
from ikeengine.ike.refusal import Refusal
from ikeengine.ike.session import IkeSession
from ikeengine.security_association import ChildSa
from ikeengine.status import ChildStatus
from ikeengine.wire.constants import NotifyType

from tests.support import ikev1, virtual_network
from tests.support.virtual_network import End, VirtualNetwork, agree, pair

KINDS = {1: ikev1, 2: virtual_network}
NO_PROPOSAL, TEMPORARY = NotifyType.NO_PROPOSAL_CHOSEN, NotifyType.TEMPORARY_FAILURE
BY_VERSION = pytest.mark.parametrize(("version", "module"), [(1, "ikev1.quick_mode"), (2, "ikev2.child_negotiation")])


@BY_VERSION
def test_a_refused_rekey_is_asked_for_more_and_more_seldom_and_many_times(version, module, monkeypatch):
    network, one, other, (child,) = _up(version)
    (rekey_in,) = (row.rekey_at - network.now for row in _children(one))
    monkeypatch.setattr(f"ikeengine.{module}.check_path", _refusal(other))
    failures: list[float] = []
    end_at = network.now + rekey_in + 1800
    while network.now < end_at:
        one.events.clear()
        network.run(0.5)
        failures += [network.now] * any(isinstance(event, Failed) for event in one.events)
    assert list(one.inbound.values()) == [child]
    agree(one, other, routes=1)
    pauses = [later - earlier for earlier, later in pairwise(failures)]
    assert pauses[0] < 10 and min(pauses[6:]) > 25 and max(pauses) < 1.5 * Settings().retry_longest + 1
    assert 20 < len(failures) < 80

    monkeypatch.undo()
    network.run(2 * Settings().retry_longest)
    agree(one, other, routes=1)
    assert child not in one.inbound.values()


@BY_VERSION
@pytest.mark.parametrize("seed", range(4))
def test_an_sa_that_is_near_its_limit_of_traffic_is_rekeyed_soon_after_the_peer_takes_it(version, module, seed,
                                                                                         monkeypatch):
    network, one, other, (child,) = _up(version, seed=seed)
    monkeypatch.setattr(f"ikeengine.{module}.check_path", _refusal(other))
    one.manager.expire(child.spi_in, network.now, hard=False)
    network.run(300)
    assert child in one.inbound.values()
    monkeypatch.undo()
    network.run(1.5 * Settings().rekey_retry + 6)  # and the old one goes
    agree(one, other, routes=1)
    assert child not in one.inbound.values()


@BY_VERSION
def test_an_sa_of_which_the_data_plane_has_lost_a_half_is_rekeyed_soon_after_a_refusal(version, module, monkeypatch):
    network, one, other, (child,) = _up(version)
    monkeypatch.setattr(f"ikeengine.{module}.check_path", _refusal(other, times=1))
    one.manager.renew_child(child.spi_in, network.now)
    network.run(1.5 * Settings().rekey_retry + 6)
    agree(one, other, routes=1)
    assert child not in one.inbound.values()


@pytest.mark.parametrize(("version", "module", "word"), [
    (1, "ikev1.quick_mode", NO_PROPOSAL), (2, "ikev2.child_negotiation", NO_PROPOSAL),
    (2, "ikev2.child_negotiation", TEMPORARY)])
@pytest.mark.parametrize("seed", range(6))
def test_where_little_of_an_sas_life_is_left_one_refusal_does_not_end_it(version, module, word, seed, monkeypatch):
    """The end that rekeys second has two to six seconds of a minute."""
    proposal = KINDS[version].PROPOSAL
    network, one, other, (child,) = _up(
        version, seed=seed, proposals=({**proposal, "force_key_expiration": {"time": "60s"}},))
    for _session, row in one.manager._sessions.children():
        row.rekey_at = None  # a peer that leaves it to us
    monkeypatch.setattr(f"ikeengine.{module}.check_path", _refusal(one, word, times=1))
    while child in one.inbound.values():
        network.run(0.1)
    (reason,) = [event.reason for event in one.events if isinstance(event, ChildRemoved)]
    assert reason.startswith("rekeyed")
    network.run(6)
    agree(one, other, routes=1)


@pytest.mark.parametrize("version", [1, 2])
def test_a_rekey_for_which_the_data_plane_has_no_spi_is_tried_again(version):
    network, one, other, (child,) = _up(version)
    for _session, row in other.manager._sessions.children():
        row.rekey_at = None  # a peer that leaves it to us
    allocate, asked = one.manager.allocate_spi, []

    def none_at_first(*wanted):
        asked.append(network.now)
        if len(asked) <= 3:
            raise Refusal(NotifyType.NO_ADDITIONAL_SAS, "the kernel gives no SPI")
        return allocate(*wanted)

    one.manager.allocate_spi = none_at_first
    while not asked:
        network.run(1)
    network.run(90)
    assert len(asked) == 4 and asked[1] - asked[0] < 10
    assert one.count(Failed) == 3
    agree(one, other, routes=1)
    assert child not in one.inbound.values()


@BY_VERSION
def test_a_refused_order_to_rekey_a_child_sa_leaves_its_plan_as_it_was(version, module, monkeypatch):
    network, one, other, _inbound = _up(version)
    monkeypatch.setattr(f"ikeengine.{module}.check_path", _refusal(other))

    def planned() -> float | None:
        (row,) = _children(one)
        return row.rekey_at

    _stays(network, one, lambda: one.manager.rekey_child("lan", network.now), planned)


@pytest.mark.parametrize(("version", "function"), [(1, "ikev1.phase1.choose_gateway"),
                                                   (2, "ikev2.rekey_ike._check_proofs")])
def test_a_refused_order_to_rekey_an_ike_sa_leaves_its_plan_as_it_was(version, function, monkeypatch):
    network, one, other, _inbound = _up(version)
    monkeypatch.setattr(f"ikeengine.{function}", _refusal(other))

    def planned() -> float | None:
        (session,) = one.manager._sessions
        return session.rekey_at

    _stays(network, one, lambda: one.manager.rekey_ike("peer", network.now), planned)


def _stays(network: VirtualNetwork, one: End, order: Callable[[], None], planned: Callable[[], float | None]) -> None:
    """The peer refuses an operator's order, and the time of the automatic rekey is that of before."""
    before = planned()
    assert before is not None and before > network.now + 6 * 3600
    for number in (1, 2):
        order()
        network.run(3600)
        assert (one.count(Failed), planned()) == (number, before)


def _up(version: int, seed: int = 0, **changes: Any) -> tuple[VirtualNetwork, End, End, list[ChildSa]]:
    """Both ends, and the child SAs of the first."""
    network, one, other = pair(KINDS[version].hq(**changes), KINDS[version].branch(start="answer", **changes),
                               seed=seed)
    network.start()
    network.run(1)
    return network, one, other, list(one.inbound.values())


def _refusal(end: End, word: NotifyType = NO_PROPOSAL, times: float = math.inf) -> Callable[..., None]:
    """Has that end refuse what it is asked, so many times."""
    numbers = itertools.count(1)

    def refuse(session: IkeSession, *_more: object) -> None:
        if session.context is end.manager and next(numbers) <= times:
            raise Refusal(word, "not now")

    return refuse


def _children(end: End) -> list[ChildStatus]:
    return [child for tunnel in end.manager.overview.tunnels() for route in tunnel.routes for child in route.children]
