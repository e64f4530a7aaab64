# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several endpoint pairs on the virtual clock: the next when one dies, and back without a gap, in both IKE versions."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from ikeengine.ike.events import EndpointsChanged, Failed, IkeEstablished
from ikeengine.security_association import ChildSa, Datagram
from ikeengine.vpn import explained

from tests.support import ikev1, virtual_network
from tests.support.virtual_network import BRANCH, HQ, End, VirtualNetwork, agree, pair

SECOND = "192.0.2.66", "198.51.100.66"
THIRD = "192.0.2.99", "198.51.100.99"
FIRST = HQ, BRANCH
SOON = {"dead_peer_detection": {"idle": "1s", "retries": 2}}
KINDS = {1: ikev1, 2: virtual_network}
FAILOVER, FAILBACK = 4.0, 40.0
"""Seconds within which traffic flows again, and within which an earlier pair that answers again is in use."""
EVERY = 0.005
"""Seconds between two packets of a stream."""


def endpoints(*pairs: tuple[str, str]) -> tuple[dict[str, Any], ...]:
    return tuple({"local": {"address": local}, "remote": {"address": remote}} for local, remote in pairs)


def two_ends(version: int = 2, further: tuple[dict[str, Any], ...] = endpoints(SECOND), start: str = "answer",
             seed: int = 0, latency: float = 0.01, **options: Any) -> tuple[VirtualNetwork, End, End]:
    options = {"gateway": SOON, "further": further, **options}
    kind = KINDS[version]
    network, one, other = pair(kind.hq(**options), kind.branch(start=start, **options), seed=seed, latency=latency)
    network.start()
    network.run(1)
    return network, one, other


def in_use(end: End) -> list[tuple[str, str]]:
    """The endpoints of its IKE SAs, and of its child SAs: all the same."""
    ike = {(str(row.local.address), str(row.remote.address)) for row in end.manager.overview.gateways()[0].ike}
    children = {(str(child.local.address), str(child.remote.address)) for child in end.inbound.values()}
    assert not children or children == ike
    return sorted(ike)


def mirrored(one: tuple[str, str]) -> tuple[str, str]:
    return one[1], one[0]


def changes(end: End) -> list[EndpointsChanged]:
    return [event for event in end.events if isinstance(event, EndpointsChanged)]


@dataclass
class Stream:
    """Packets of every route from either end, all the time."""

    network: VirtualNetwork
    sent: int = 0
    lost: list[float] = field(default_factory=list)

    def flow(self, seconds: float) -> None:
        end_at = self.network.now + seconds
        while self.network.now < end_at:
            for end in self.network.ends.values():
                for child in set(end.sending.values()) or [None]:
                    self._send(child)
            self.network.run(EVERY)

    def _send(self, child: ChildSa | None) -> None:
        self.sent += 1
        at = self.network.now
        self.lost.append(at)
        if child is None:
            return

        def arrive(end: End, datagram: Datagram) -> None:
            if child.spi_out in end.inbound:
                self.lost.remove(at)
                self.network.packets[child.spi_out] += 1

        self.network.fly(Datagram(child.local, child.remote, b""), arrive)

    @property
    def outage(self) -> float:
        """Seconds from the first lost packet to the last; those that are on their way count as lost."""
        return max(self.lost) - min(self.lost) + EVERY if self.lost else 0.0


@pytest.fixture(params=[1, 2], ids=["IKEv1", "IKEv2"])
def version(request: pytest.FixtureRequest) -> int:
    return int(request.param)


# ------------------------------------------------------------------------------------------------ failover

@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("start", ["answer", "boot"])
def test_traffic_flows_again_soon_by_the_second_pair(version, start, seed):
    network, one, other = two_ends(version, start=start, seed=seed)
    network.run(10)
    assert in_use(one) == [FIRST]
    stream = Stream(network)
    stream.flow(0.5 + seed / 7)
    network.run(network.latency)
    assert not stream.lost
    network.cut(*FIRST)
    stream.flow(FAILOVER)
    before = list(stream.lost)
    stream.flow(2)
    network.run(network.latency * 2)
    assert stream.lost and set(stream.lost) <= set(before)
    assert stream.outage < FAILOVER
    network.run(20)
    agree(one, other, routes=1)
    assert (in_use(one), in_use(other)) == ([SECOND], [mirrored(SECOND)])


def test_without_traffic_it_is_as_soon(version):
    network, one, other = two_ends(version)
    network.cut(*FIRST)
    network.run(FAILOVER - 0.5)
    agree(one, other, routes=1)
    assert (in_use(one), in_use(other)) == ([SECOND], [mirrored(SECOND)])


def test_pairs_are_tried_in_their_order(version):
    network, one, other = two_ends(version, further=endpoints(SECOND, THIRD))
    network.run(10)
    network.cut(*FIRST)
    network.cut(*SECOND)
    network.run(8)
    assert in_use(one) == [THIRD]
    agree(one, other, routes=1)
    network.mend(*SECOND)
    network.cut(*THIRD)
    network.run(8)
    assert in_use(one) == [SECOND]
    agree(one, other, routes=1)


def test_the_first_is_tried_first_when_the_daemon_starts(version):
    kind = KINDS[version]
    network, one, _other = pair(*(end(gateway=SOON, further=endpoints(SECOND)) for end in (kind.hq, kind.branch)))
    network.cut(*FIRST)
    network.start()
    network.run(0.5)
    assert {str(datagram.remote.address) for _time, datagram in network.sent
            if str(datagram.local.address) in (HQ, SECOND[0])} == {BRANCH}
    network.run(4)
    assert in_use(one) == [SECOND]


def test_a_round_of_all_pairs_is_followed_by_a_pause_that_grows(version):
    network, one, _other = two_ends(version)
    for ends in (FIRST, SECOND):
        network.cut(*ends)
    network.run(600)
    began = [time for time, datagram in network.sent if datagram.data[8:16] == bytes(8)
             and str(datagram.local.address) == SECOND[0]]
    begun = [time for time, later in pairwise(began) if later - time > 15]
    pauses = [later - time for time, later in pairwise(begun)]
    assert 5 <= len(pauses) <= 12 and all(60 * 0.75 <= pause <= 2 * (60 * 1.25 + 50) for pause in pauses[-2:])
    assert one.manager.overview.gateways()[0].state != "established"
    for ends in (FIRST, SECOND):
        network.mend(*ends)
    network.run(180)
    assert in_use(one) == [FIRST]


@pytest.mark.parametrize("seed", range(3))
def test_a_request_that_is_under_way_delays_nothing(seed):
    """Else a rekey that begins as the path dies would be repeated for a minute."""
    network, one, other = two_ends(seed=seed)
    network.run(10)
    network.cut(*FIRST)
    one.manager.rekey_ike("peer", network.now)
    other.manager.rekey_child("lan", network.now)
    network.run(FAILOVER)
    assert in_use(one) == [SECOND]
    network.run(20)
    agree(one, other, routes=1)


# ------------------------------------------------------------------------------------------------ failback

@pytest.mark.parametrize("start", ["answer", "boot"])
@pytest.mark.parametrize("latency", [0.002, 0.05])
def test_going_back_to_the_first_pair_loses_nothing(version, start, latency):
    network, one, other = two_ends(version, start=start, latency=latency)
    network.cut(*FIRST)
    network.run(60)
    assert (in_use(one), in_use(other)) == ([SECOND], [mirrored(SECOND)])
    network.mend(*FIRST)
    stream = Stream(network)
    stream.flow(FAILBACK + 10)
    network.run(latency)
    assert not stream.lost and stream.sent > 10_000
    agree(one, other, routes=1)
    assert (in_use(one), in_use(other)) == ([FIRST], [mirrored(FIRST)])
    for end in (one, other):
        assert [event.back for event in changes(end)] == [False, True]


@pytest.mark.parametrize("sa_pairs", ["per-route", "per-tunnel"])
def test_many_routes_go_back_together(version, sa_pairs):
    routes = tuple((f"10.1.{number}.0/24", f"10.2.{number}.0/24") for number in range(20))
    pairs = 2 if (version, sa_pairs) == (2, "per-tunnel") else 20
    if pairs == 2:
        routes = tuple((local, remote) for local, _ in routes[:10] for _, remote in routes[:2])
    network, one, other = two_ends(version, routes=routes, sa_pairs=sa_pairs, tunnels=2 if pairs == 20 else 1,
                                   latency=0.02)
    network.cut(*FIRST)
    network.run(60)
    before = len(one.inbound)
    network.mend(*FIRST)
    stream = Stream(network)
    stream.flow(0.05)
    network.run(20)
    stream.flow(FAILBACK - 10)
    network.run(network.latency)
    assert not stream.lost
    agree(one, other, routes=20, pairs=before)
    assert (in_use(one), in_use(other)) == ([FIRST], [mirrored(FIRST)])


def test_looking_whether_the_first_pair_is_there_again_disturbs_nobody(version):
    network, one, other = two_ends(version)
    network.cut(*FIRST)
    network.run(60)
    before = (set(one.inbound), len(one.events), one.manager.overview.gateways()[0].last_error)
    stream = Stream(network)
    stream.flow(70)
    network.run(network.latency)
    assert not stream.lost
    assert (set(one.inbound), len(one.events), one.manager.overview.gateways()[0].last_error) == before
    probes = [time for time, datagram in network.sent if str(datagram.local.address) == HQ and time > network.now - 70]
    assert 3 <= len(probes) <= 12
    agree(one, other, routes=1)


@pytest.mark.parametrize("seed", range(3))
def test_an_end_that_only_answers_follows_and_never_looks_by_itself(version, seed):
    network, one, other = two_ends(version, seed=seed)
    network.cut(*FIRST)
    network.run(20)
    began = [datagram for _time, datagram in network.sent if datagram.data[8:16] == bytes(8)]
    assert {str(datagram.local.address) for datagram in began} <= {HQ, SECOND[0]}
    network.mend(*FIRST)
    network.run(FAILBACK + 10)
    assert (in_use(one), in_use(other)) == ([FIRST], [mirrored(FIRST)])
    assert [event.reason for event in changes(other)] == ["the peer chose them"] * 2
    assert [event.reason for event in changes(one)][1] == "they answer again"
    assert "is silent" in changes(one)[0].reason


# ------------------------------------------------------------------------------------------------ both ends

@pytest.mark.parametrize("seed", range(8))
def test_two_ends_that_do_not_agree_on_the_order_come_to_rest(version, seed):
    kind = KINDS[version]
    network, one, other = pair(kind.hq(gateway=SOON, further=endpoints(SECOND)),
                               virtual_side(kind, (SECOND, FIRST), start="boot"), seed=seed)
    network.start()
    network.run(120)
    agree(one, other, routes=1)
    before = one.count(IkeEstablished) + other.count(IkeEstablished)
    stream = Stream(network)
    stream.flow(120)
    network.run(network.latency)
    assert not stream.lost
    agree(one, other, routes=1)
    assert one.count(IkeEstablished) + other.count(IkeEstablished) - before <= 2
    assert in_use(other) == [mirrored(row) for row in in_use(one)]


def virtual_side(kind: Any, order: tuple[tuple[str, str], ...], **options: Any) -> Any:
    """The branch with its endpoint pairs in another order."""
    first, *rest = order
    plain = kind.branch(gateway={**SOON, "endpoints": [
        {"local": {"address": remote}, "remote": {"address": local}} for local, remote in (first, *rest)]}, **options)
    return plain


@pytest.mark.parametrize("seed", range(5))
def test_a_path_that_comes_and_goes_is_gone_back_to_less_and_less(version, seed):
    network, one, other = two_ends(version, seed=seed)
    for _time in range(40):
        network.cut(*FIRST)
        network.run(30)
        network.mend(*FIRST)
        network.run(60)
    back = [event for event in changes(one) if event.back]
    assert 3 <= len(back) <= 12
    network.run(3600)
    assert in_use(one) == [FIRST]
    agree(one, other, routes=1)


@pytest.mark.parametrize("who", [HQ, BRANCH])
@pytest.mark.parametrize("start", ["answer", "boot"])
def test_an_end_that_restarts_while_the_second_pair_is_in_use_finds_the_way(version, who, start):
    network, _one, _other = two_ends(version, start=start)
    network.cut(*FIRST)
    network.run(10)
    kind = KINDS[version]
    options = {"gateway": SOON, "further": endpoints(SECOND)}
    network.ends[who] = network.end(kind.hq(**options) if who == HQ else kind.branch(start=start, **options))
    network.ends[who].manager.start(network.now)
    network.run(20)
    one, other = network.ends.values()
    agree(one, other, routes=1)
    assert (in_use(one), in_use(other)) == ([SECOND], [mirrored(SECOND)])
    network.mend(*FIRST)
    network.run(FAILBACK + 10)
    agree(one, other, routes=1)
    assert (in_use(one), in_use(other)) == ([FIRST], [mirrored(FIRST)])


# ------------------------------------------------------------------------------------------------ what a pair may say

def test_identifiers_may_differ_from_pair_to_pair(version):
    def ends(local: str, remote: str, number: int) -> dict[str, Any]:
        return {place: {"address": address, "identifier": {"type": "domain-name", "value": f"{site}{number}.example"}}
                for place, address, site in (("local", local, "hq"), ("remote", remote, "branch"))}

    network, one, other = two_ends(version, further=(ends(*SECOND, 2), ends(*THIRD, 3)))
    assert one.manager.overview.gateways()[0].ike[0].remote_identity == BRANCH
    for number, dead in ((2, FIRST), (3, SECOND)):
        network.cut(*dead)
        network.run(10)
        assert one.manager.overview.gateways()[0].ike[0].local_identity == f"hq{number}.example"
        assert other.manager.overview.gateways()[0].ike[0].remote_identity == f"hq{number}.example"
        assert one.manager.overview.gateways()[0].ike[0].remote_identity == f"branch{number}.example"
        agree(one, other, routes=1)


def test_another_identifier_on_the_second_pair_is_named_with_its_place(version):
    far = {"local": {"address": SECOND[0]}, "remote": {"address": SECOND[1], "identifier": {
        "type": "domain-name", "value": "elsewhere.example"}}}
    kind = KINDS[version]
    network, one, other = pair(kind.hq(gateway=SOON, further=(far,)),
                               kind.branch(gateway=SOON, further=endpoints(SECOND)))
    network.start()
    network.run(10)
    network.cut(*FIRST)
    network.run(20)
    said = " ".join(one.reasons + other.reasons)
    assert "gateways[peer].endpoints[1]" in said and "elsewhere.example" in said
    network.mend(*FIRST)
    network.run(90)
    agree(one, other, routes=1)
    assert in_use(one) == [FIRST]


def test_both_address_families_may_stand_in_one_gateway(version):
    six = "2001:db8:1::1", "2001:db8:2::1"
    network, one, other = two_ends(version, further=endpoints(six))
    network.cut(*FIRST)
    network.run(FAILOVER)
    agree(one, other, routes=1)
    assert in_use(one) == [six]


def test_a_pair_whose_own_address_is_not_there_is_passed_over_until_it_is(version):
    kind = KINDS[version]
    network, one, other = pair(*(end(gateway=SOON, further=endpoints(SECOND)) for end in (kind.hq, kind.branch)))
    network.absent.add(HQ)
    network.start()
    network.run(1)
    assert in_use(one) == [SECOND]
    why = pairs_explained(one)[0]
    assert "endpoint address: we are to use 192.0.2.2: this host does not have it" in why["last_failure"]
    assert "gateways[peer].endpoints[0].local.address" in why["last_failure"]
    network.absent.clear()
    network.run(FAILBACK + 10)
    assert in_use(one) == [FIRST]
    agree(one, other, routes=1)
    assert pairs_explained(one)[0] | {"local": "", "remote": ""} == {
        "local": "", "remote": "", "in_use": True, "last_failure": None}


@pytest.mark.parametrize("told", [False, True], ids=["tries again", "hears of it"])
def test_the_only_pair_waits_for_its_address(version, told):
    kind = KINDS[version]
    network, one, other = pair(kind.hq(), kind.branch(start="answer"))
    network.absent.add(HQ)
    network.start()
    network.run(30)
    assert "this host does not have it" in one.manager.overview.gateways()[0].last_error
    one.manager.addresses_changed(network.now)
    network.run(1)
    assert not network.sent
    network.absent.clear()
    if told:
        one.manager.addresses_changed(network.now)
    network.run(1 if told else 60)
    agree(one, other, routes=1)


def pairs_explained(end: End) -> list[dict[str, Any]]:
    return end.manager.overview.explain("peer", float)["declared"]["endpoints"]  # type: ignore[no-any-return]


def test_explain_marks_the_pair_in_use_and_says_why_each_failed(version):
    network, one, _other = two_ends(version)
    assert [(row["in_use"], row["last_failure"]) for row in pairs_explained(one)] == [(True, None), (False, None)]
    network.cut(*FIRST)
    network.run(10)
    first, second = pairs_explained(one)
    assert (first["in_use"], second["in_use"], second["last_failure"]) == (False, True, None)
    assert f"the peer {BRANCH}" in first["last_failure"] and "is silent" in first["last_failure"]
    page = "\n".join(explained.lines(one.manager.overview.explain("peer", float), network.now))
    assert page.index("is silent") < page.index(f"{SECOND[1]} (ip-address), in use")
    assert "192.0.2.2 (ip-address), in use" not in page


def test_mobike_goes_to_the_next_pair_with_all_it_has_and_the_way_back_loses_nothing():
    """An end whose own address is not declared has MOBIKE: another address of the peer takes no new IKE SA."""
    def ends(local: str, remote: str, near: str, far: str) -> dict[str, Any]:
        return {"local": {"address": local, "identifier": {"type": "domain-name", "value": f"{near}.example"}},
                "remote": {"address": remote, "identifier": {"type": "domain-name", "value": f"{far}.example"}}}

    addresses = BRANCH, SECOND[1]
    network, one, other = pair(
        virtual_network.hq(gateway={**SOON, "endpoints": [ends("dynamic", row, "hq", "branch") for row in addresses]}),
        virtual_network.branch(start="answer", gateway={**SOON, "endpoints": [
            ends(row, "dynamic", "branch", "hq") for row in addresses]}))
    network.start()
    network.run(5)
    before = set(one.inbound)
    network.cut(HQ, BRANCH)
    network.run(20)
    assert in_use(one) == [(HQ, SECOND[1])] and set(one.inbound) == before
    assert [row["in_use"] for row in pairs_explained(one)] == [False, True]
    network.mend(HQ, BRANCH)
    stream = Stream(network)
    stream.flow(FAILBACK + 10)
    network.run(network.latency)
    assert not stream.lost
    assert in_use(one) == [(HQ, BRANCH)] and [event.back for event in changes(one)] == [False, True]
    agree(one, other, routes=1)


# ------------------------------------------------------------------------------------------------ traffic, one pair

@pytest.mark.parametrize("further", [(), endpoints(SECOND)], ids=["one pair", "two pairs"])
def test_a_gateway_that_starts_on_traffic_comes_up_again_with_the_next_packet(version, further):
    kind = KINDS[version]
    network, one, other = pair(*(end(gateway=SOON, further=further, start=start) for end, start in (
        (kind.hq, "traffic"), (kind.branch, "answer"))))
    network.start()
    network.traffic()
    network.run(1)
    agree(one, other, routes=1)
    network.cut(*FIRST)
    network.run(300)
    assert not one.inbound and not one.manager._sessions
    if not further:
        network.mend(*FIRST)
    network.traffic()
    network.run(1)
    agree(one, other, routes=1)
    assert in_use(one) == [SECOND if further else FIRST]


@pytest.mark.parametrize("seed", range(4))
def test_traffic_that_goes_on_is_as_soon_by_the_second_pair(version, seed):
    kind = KINDS[version]
    network, one, other = pair(*(end(gateway=SOON, further=endpoints(SECOND), start=start) for end, start in (
        (kind.hq, "traffic"), (kind.branch, "answer"))), seed=seed)
    network.start()
    network.traffic()
    network.run(1)
    network.cut(*FIRST)
    for _time in range(int(FAILOVER / 0.1)):
        network.traffic()
        network.run(0.1)
    agree(one, other, routes=1)
    assert in_use(one) == [SECOND]


def test_a_gateway_that_starts_on_traffic_tries_all_pairs_for_one_packet(version):
    kind = KINDS[version]
    network, one, _other = pair(*(end(gateway=SOON, further=endpoints(SECOND, THIRD), start=start) for end, start in (
        (kind.hq, "traffic"), (kind.branch, "answer"))))
    network.cut(*FIRST)
    network.cut(*SECOND)
    network.start()
    network.traffic()
    network.run(8)
    assert in_use(one) == [THIRD]


@pytest.mark.parametrize("detection", ["dead peer detection", "keep-alive"])
def test_one_pair_is_tried_without_end(version, detection):
    gateway: dict[str, Any] = SOON
    if detection == "keep-alive":
        if version == 2:
            return
        gateway = {"dead_peer_detection": {"enabled": False},
                   "ike_keep_alive": {"enabled": True, "interval": "10s", "failures": 2}}
    network, one, other = two_ends(version, further=(), gateway=gateway)
    network.cut(*FIRST)
    network.run(7200)
    assert not one.inbound and one.count(Failed) > 20
    began = [time for time, datagram in network.sent if datagram.data[8:16] == bytes(8) and time > network.now - 1800]
    longest = max(later - time for time, later in pairwise(began))
    assert 45 <= longest <= 60 * 1.25 + 12 and len(began) < 300
    network.mend(*FIRST)
    network.run(90)
    agree(one, other, routes=1)


def test_ike_keep_alive_that_fails_leads_to_the_next_pair():
    gateway = {"dead_peer_detection": {"enabled": False},
               "ike_keep_alive": {"enabled": True, "interval": "10s", "failures": 1}}
    network, one, other = two_ends(1, gateway=gateway)
    network.cut(*FIRST)
    network.run(35)
    agree(one, other, routes=1)
    assert in_use(one) == [SECOND]


def test_a_pair_that_only_the_peer_can_begin_is_passed_over(version):
    """We do not know where the peer is there; by the other we do."""
    identifiers = {"type": "domain-name", "value": "branch.example"}
    dynamic = {"local": {"address": HQ}, "remote": {"address": "dynamic", "identifier": identifiers}}
    kind = KINDS[version]
    options = {"mode": "aggressive"} if version == 1 else {}
    network, one, _other = pair(
        kind.hq(gateway={**SOON, **options, "endpoints": [dynamic, *endpoints(SECOND)]}),
        kind.branch(gateway={**SOON, **options}, further=endpoints(SECOND), start="answer"))
    network.start()
    network.run(5)
    assert in_use(one) == [SECOND]
    assert "the peer must initiate" in pairs_explained(one)[0]["last_failure"]




def unsent(network: VirtualNetwork, end: End, local: str) -> None:
    """Nothing leaves the end from that address any more: its host says why."""
    def refuse(datagram: Datagram) -> Datagram | None:
        if str(datagram.local.address) != local:
            return datagram
        end.manager.unsent(datagram, "Network is unreachable")
        return None

    network.tamper = refuse


NO_WAY = (f"gateway peer: we could not send to the peer {BRANCH}: Network is unreachable, so no answer to {{}} can "
          f"come. Check this host's links, routes and firewall; ip route get {BRANCH} shows the way.")


@pytest.mark.parametrize(("kind", "message"), [(1, "message 1 of Main Mode"), (2, "IKE_SA_INIT")])
def test_what_did_not_leave_this_host_is_not_the_peers_silence(kind: int, message: str):
    network, one, _other = pair(KINDS[kind].hq(), KINDS[kind].branch(start="answer"))
    unsent(network, one, HQ)
    network.start()
    network.run(60)
    assert one.reasons[0] == NO_WAY.format(message) == one.manager.overview.gateway("peer").last_error
    network.tamper = lambda datagram: datagram
    network.cut(HQ, BRANCH)
    network.run(300)
    assert f"the peer {BRANCH}:500 is silent" in one.reasons[-1]


@pytest.mark.parametrize(("kind", "message"), [(1, "Dead Peer Detection"), (2, "INFORMATIONAL")])
def test_a_failover_names_the_cable_of_this_host(kind: int, message: str):
    network, one, _other = two_ends(kind)
    unsent(network, one, HQ)
    network.run(10)
    (change,) = changes(one)
    assert f"gateway peer: {change.reason}" == NO_WAY.format(message)


def test_a_quick_mode_that_did_not_leave_this_host_is_not_the_peers_silence():
    network, one, _other = two_ends(1, further=(), gateway={})
    unsent(network, one, HQ)
    one.manager.rekey_child("lan", network.now)
    network.run(60)
    assert f"we could not send to the peer {BRANCH}: Network is unreachable, so no answer to Quick Mode" in (
        one.reasons[0])
