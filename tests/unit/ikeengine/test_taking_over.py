# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An IKE SA that is to take the place of another one: not before it carries what that one does, and both ends have it.
So whatever the network and the peer do to it, the tunnels that work go on working. Both versions, virtual clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ikeengine.ike.events import EndpointsChanged, Failed, IkeRekeyed
from ikeengine.security_association import Datagram
from ikeengine.vpn.model import Side
from ikeengine.wire.constants import ExchangeType as V2
from ikeengine.wire.header import HEADER_SIZE, decode_header
from ikeengine.wire.v1.constants import ExchangeType as V1
from ikeengine.wire.v1.constants import HeaderFlag

from tests.support import ikev1, virtual_network
from tests.support.virtual_network import BRANCH, HQ, End, Faults, VirtualNetwork, agree, pair

KINDS: dict[int, Any] = {1: ikev1, 2: virtual_network}
SECOND = "192.0.2.66", "198.51.100.66"
FIRST = HQ, BRANCH
SOON = {"dead_peer_detection": {"idle": "1s", "retries": 2}}
PATIENT = {"dead_peer_detection": {"idle": "20s", "retries": 5}}
FURTHER = ({"local": {"address": SECOND[0]}, "remote": {"address": SECOND[1]}},)
ROUTES = (("10.1.0.0/24", "10.2.0.0/24"), ("10.1.1.0/24", "10.2.1.0/24"))
STEP = 0.1
FAILBACK = 60.0
"""Seconds within which an earlier pair that carries the tunnels again is in use."""

Tamper = Callable[[Datagram], "Datagram | None"]


@pytest.fixture(params=[1, 2], ids=["IKEv1", "IKEv2"])
def version(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def reaches(network: VirtualNetwork, end: End, routes: int) -> bool:
    """Whether all that the end sends comes to an SA of the machine at the address that it is sent to."""
    return len(end.sending) == routes and all(
        child.spi_out in network.ends.get(str(child.remote.address), network._at(
            Datagram(child.remote, child.local, b"")) or end).inbound for child in end.sending.values())


class Watch:
    """Counts the time in which an end sends where nobody receives."""

    def __init__(self, network: VirtualNetwork, *ends: End, routes: int = 1) -> None:
        self.network, self.ends, self.routes = network, ends, routes
        self.down: list[float] = []

    def run(self, seconds: float) -> None:
        end_at = self.network.now + seconds
        while self.network.now < end_at:
            self.network.run(STEP)
            if not all(reaches(self.network, end, self.routes) for end in self.ends):
                self.down.append(round(self.network.now, 1))


def sends_to(end: End) -> set[str]:
    return {str(child.remote.address) for child in end.sending.values()}


def lost_answers(version: int, *ends: str) -> Tamper:
    """Those that make an IKE SA: large ones do not come through from the first of ``ends`` to the other."""
    begun = set[bytes]()

    def tamper(datagram: Datagram) -> Datagram | None:
        if len(datagram.data) < HEADER_SIZE:
            return datagram
        header = decode_header(datagram.data)
        addresses = str(datagram.local.address), str(datagram.remote.address)
        if addresses == ends[::-1] and header.spi_r == bytes(8):
            begun.add(header.spi_i)
        is_answer = header.is_response if version == 2 else bool(header.flags & HeaderFlag.ENCRYPTION)
        makes = header.exchange == (V2.IKE_AUTH if version == 2 else V1.MAIN)
        return None if addresses == ends and header.spi_i in begun and is_answer and makes else datagram

    return tamper


def one_after_another(version: int, seed: int = 0, **options: Any) -> tuple[VirtualNetwork, End, End]:
    """Two machines at either end, failed over to the second endpoint pair; the first is there again now."""
    kind = KINDS[version]
    options = {"gateway": PATIENT, "further": FURTHER, **options}
    network, one, other = pair(kind.hq(**options), kind.branch(start="answer", **options), seed=seed)
    network.start()
    network.run(1)
    network.cut(*FIRST)
    network.run(100)
    assert sends_to(one) == {SECOND[1]}
    network.mend(*FIRST)
    return network, one, other


# ------------------------------------------------------------------------------------------------ another machine

def machine(version: int, address: str, routes: tuple[tuple[str, str], ...]) -> Side:
    """A peer of the head office, of which there are two."""
    old: dict[str, Any] = {"transforms": (ikev1.TRANSFORM,), "proposals": (ikev1.PROPOSAL,), "pfs": ikev1.PFS}
    return virtual_network.side("branch", address, HQ, routes=tuple((remote, local) for local, remote in routes),
                                start="answer", gateway={**SOON, "ike_version": version},
                                **(old if version == 1 else {}))


def two_machines(version: int, routes: tuple[tuple[str, str], ...]) -> tuple[VirtualNetwork, End, End]:
    """The head office has failed over from one machine to another."""
    kind = KINDS[version]
    far = ({"local": {"address": HQ}, "remote": {"address": SECOND[1]}},)
    network = VirtualNetwork({HQ: kind.hq(start="boot", gateway=SOON, further=far, routes=routes),
                              BRANCH: machine(version, BRANCH, routes), SECOND[1]: machine(version, SECOND[1], routes)})
    network.start()
    network.run(2)
    network.cut(*FIRST)
    network.run(10)
    assert sends_to(network.ends[HQ]) == {SECOND[1]}
    return network, network.ends[HQ], network.ends[SECOND[1]]


@pytest.mark.parametrize("has", [0, 1], ids=["none of the routes", "one of two"])
def test_a_first_machine_that_comes_back_without_the_tunnel_takes_nothing_over(version, has):
    network, one, second = two_machines(version, ROUTES)
    lacking = (ROUTES[0], ("10.1.1.0/24", "10.9.0.0/24")) if has else (("10.1.0.0/24", "10.9.0.0/24"),)
    network.ends[BRANCH] = network.end(machine(version, BRANCH, lacking), BRANCH)
    network.mend(*FIRST)
    before = one.reasons, one.manager.overview.gateways()[0].last_error
    watch = Watch(network, one, second, routes=2)
    watch.run(600)
    assert watch.down == [] and sends_to(one) == {SECOND[1]}
    assert (one.reasons, one.manager.overview.gateways()[0].last_error) == before
    first, other = one.manager.overview.explain("peer", float)["declared"]["endpoints"]
    assert (first["in_use"], other["in_use"]) == (False, True)
    assert ("TS_UNACCEPTABLE" if version == 2 else "INVALID_ID_INFORMATION") in first["last_failure"]
    assert {tunnel.state for tunnel in one.manager.overview.tunnels()} == {"up"}

    network.ends[BRANCH] = network.end(machine(version, BRANCH, ROUTES), BRANCH)
    watch = Watch(network, one, routes=2)
    watch.run(FAILBACK)
    assert watch.down == [] and sends_to(one) == {BRANCH}
    agree(one, network.ends[BRANCH], routes=2)
    assert [event.back for event in one.events if isinstance(event, EndpointsChanged)] == [False, True]
    network.run(10)
    assert not second.inbound and len(one.manager.overview.gateways()[0].ike) == 1


def test_a_first_machine_that_goes_again_while_it_is_tried_takes_nothing_along(version):
    network, one, second = two_machines(version, ROUTES)
    network.mend(*FIRST)
    network.ends[BRANCH] = network.end(machine(version, BRANCH, ROUTES), BRANCH)
    late = V2.CREATE_CHILD_SA if version == 2 else V1.QUICK
    network.tamper = lambda datagram: None if {str(datagram.local.address), str(datagram.remote.address)} == {
        *FIRST} and datagram.data[18] == late else datagram
    watch = Watch(network, one, second, routes=2)
    watch.run(300)
    assert watch.down == [] and sends_to(one) == {SECOND[1]}
    network.cut(*FIRST)
    watch.run(60)
    assert watch.down == [] and len(one.manager.overview.gateways()[0].ike) == 1


# ------------------------------------------------------------------------------------------------ lost answers

def test_an_answer_that_never_arrives_takes_nothing_over_at_the_end_that_gave_it(version):
    network, one, other = one_after_another(version)
    network.tamper = lost_answers(version, BRANCH, HQ)
    before = [end.count(Failed) for end in (one, other)]
    watch = Watch(network, one, other)
    watch.run(600)
    assert watch.down == [] and sends_to(other) == {SECOND[0]}
    assert [end.count(Failed) for end in (one, other)] == before
    assert len(other.manager.overview.gateways()[0].ike) <= 3
    network.tamper = lambda datagram: datagram
    watch.run(FAILBACK)
    assert watch.down == [] and (sends_to(one), sends_to(other)) == ({BRANCH}, {HQ})
    network.run(60)
    agree(one, other, routes=1)


@pytest.mark.parametrize("seed", range(6))
def test_over_a_bad_network_going_back_loses_nothing(version, seed):
    """In IKEv1 nothing answers the last message of a Quick Mode, nor a DELETE: not all are borne to be lost."""
    print("seed", seed)
    network, one, other = one_after_another(version, routes=ROUTES, seed=seed)
    network.faults = Faults(drop=0.1 if version == 1 else 0.3, duplicate=0.1, reorder=0.2, until=network.now + 120)
    watch = Watch(network, one, other, routes=2)
    watch.run(300)
    assert watch.down == []
    network.run(60)
    agree(one, other, routes=2)
    assert (sends_to(one), sends_to(other)) == ({BRANCH}, {HQ})


def test_the_end_that_did_not_begin_it_goes_back_though_the_pair_before_is_dead(version):
    """The DELETE of the IKE SA before cannot come."""
    network, one, other = one_after_another(version)
    while sends_to(one) == {SECOND[1]}:
        network.run(STEP)
    network.cut(*SECOND)
    network.run(5)
    assert (sends_to(one), sends_to(other)) == ({BRANCH}, {HQ})
    network.run(120)
    agree(one, other, routes=1)


# ------------------------------------------------------------------------------------------------ made anew, rekeyed

def is_made_anew(watch: Watch, begins: End, before: tuple[set[int], set[int]]) -> None:
    """Once the network is itself again, with nothing lost on the way."""
    network, (one, other) = watch.network, watch.ends
    network.tamper = lambda datagram: datagram
    assert begins.manager.replace("peer", network.now)
    watch.run(30)
    assert watch.down == []
    agree(one, other, routes=watch.routes)
    assert not before[0] & set(one.inbound)


@pytest.mark.parametrize("replaces", ["initiator", "responder"])
def test_what_is_made_anew_takes_over_at_both_ends_or_at_none(version, replaces):
    kind = KINDS[version]
    network, one, other = pair(kind.hq(routes=ROUTES), kind.branch(routes=ROUTES, start="answer"))
    network.start()
    network.run(10)
    before = set(one.inbound), set(other.inbound)
    begins, answers = (one, (BRANCH, HQ)) if replaces == "initiator" else (other, (HQ, BRANCH))
    network.tamper = lost_answers(version, *answers)
    assert begins.manager.replace("peer", network.now)
    watch = Watch(network, one, other, routes=2)
    watch.run(200)
    assert watch.down == [] and (set(one.inbound), set(other.inbound)) == before
    is_made_anew(watch, begins, before)


@pytest.mark.parametrize("replaces", ["initiator", "responder"])
def test_what_is_made_anew_and_cannot_carry_all_goes_again(replaces):
    """In IKEv1 it has all child SAs from the start."""
    network, one, other = pair(virtual_network.hq(routes=ROUTES), virtual_network.branch(routes=ROUTES, start="answer"))
    network.start()
    network.run(10)
    before = set(one.inbound), set(other.inbound)
    network.tamper = lambda datagram: None if datagram.data[18] == V2.CREATE_CHILD_SA else datagram
    begins = one if replaces == "initiator" else other
    assert begins.manager.replace("peer", network.now)
    watch = Watch(network, one, other, routes=2)
    watch.run(200)
    assert watch.down == [] and (set(one.inbound), set(other.inbound)) == before
    assert len(one.manager.overview.gateways()[0].ike) == len(other.manager.overview.gateways()[0].ike) == 1
    is_made_anew(watch, begins, before)


@pytest.mark.parametrize("who", ["initiator", "responder"])
def test_a_rekey_of_an_isakmp_sa_whose_last_answer_never_arrives_leaves_the_child_sas_alone(who):
    network, one, other = pair(ikev1.hq(), ikev1.branch(start="answer"))
    network.start()
    network.run(10)
    begins, answers = (one, (BRANCH, HQ)) if who == "initiator" else (other, (HQ, BRANCH))
    network.tamper = lost_answers(1, *answers)
    begins.come_due(network.now, ike=True)
    watch = Watch(network, one, other)
    watch.run(120)
    assert watch.down == [] and one.count(IkeRekeyed) == other.count(IkeRekeyed) == 0
    network.tamper = lambda datagram: datagram
    watch.run(60)
    assert watch.down == []
    agree(one, other, routes=1)
    assert one.count(IkeRekeyed) == other.count(IkeRekeyed) == 1


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("later", [0.0, 0.01, 0.02])
def test_of_two_ends_that_begin_at_once_one_ike_sa_is_left_within_a_second(version, later, seed):
    network, one, other = pair(KINDS[version].hq(), KINDS[version].branch(), seed=seed)
    one.manager.start(network.now)
    network.run(later)
    other.manager.start(network.now)
    network.run(1)
    agree(one, other, routes=1)
    assert len(one.manager.overview.gateways()[0].ike) == len(other.manager.overview.gateways()[0].ike) == 1


@pytest.mark.parametrize("seed", range(6))
def test_both_ends_that_begin_at_once_over_a_bad_network_end_with_one(version, seed):
    print("seed", seed)
    kind = KINDS[version]
    network, one, other = pair(kind.hq(routes=ROUTES), kind.branch(routes=ROUTES), seed=seed,
                               faults=Faults(drop=0.3, duplicate=0.1, reorder=0.2, until=1040.0))
    network.start()
    network.run(300)
    agree(one, other, routes=2)
    assert len(one.manager.overview.gateways()[0].ike) == len(other.manager.overview.gateways()[0].ike) == 1


@pytest.mark.parametrize("who", [0, 1])
def test_of_two_ends_that_begin_at_once_one_whose_answers_never_arrive_is_no_hindrance(who):
    """In IKEv1 its own last message would be as large as its answer."""
    network, one, other = pair(virtual_network.hq(), virtual_network.branch())
    network.tamper = lost_answers(2, *((HQ, BRANCH), (BRANCH, HQ))[who])
    network.start()
    network.run(10)
    watch = Watch(network, one, other)
    watch.run(200)
    assert watch.down == []
    network.tamper = lambda datagram: datagram
    network.run(120)
    agree(one, other, routes=1)
