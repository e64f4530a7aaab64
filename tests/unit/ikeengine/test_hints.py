# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What anybody can send without proof: what it costs, and whom it gets in the way of."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest
from ikeengine import hints
from ikeengine.sa_manager import IkeSaManager
from ikeengine.security_association import Datagram, SocketAddress
from ikeengine.vpn import declaration
from ikeengine.vpn.model import IkeVersion, Side
from ikeengine.wire.constants import ExchangeType, HeaderFlag, NotifyType
from ikeengine.wire.message import encode_message
from ikeengine.wire.notify import Notify
from ikeengine.wire.v1 import constants as v1
from ikeengine.wire.v1 import message as v1_message
from ikeengine.wire.v1.notify import Notify as V1Notify

from tests.support import ikev1, virtual_network
from tests.support.calls import calls_of
from tests.support.virtual_network import BRANCH, HQ, PROPOSAL, PSK, TRANSFORM, End, VirtualNetwork, pair

VERSIONS = [pytest.param(ikev1, id="IKEv1"), pytest.param(virtual_network, id="IKEv2")]


def _stranger(number: int) -> str:
    return f"203.0.{113 + number // 250}.{number % 250 + 1}"


def _of_unknown_ike_sa(source: str, version: int = 2, number: int = 1) -> Datagram:
    flags = b"\x2e\x20\x25\x08" if version == 2 else b"\x08\x10\x05\x01"
    data = b"".join((number.to_bytes(8, "big"), b"\x01" * 8, flags, bytes(4), (28 + 40).to_bytes(4, "big"),
                     b"\x00\x00\x00\x28", bytes(36)))
    return Datagram(SocketAddress(ip_address(HQ), 500), SocketAddress(ip_address(source), 500), data)


def _hint(source: str, version: IkeVersion = IkeVersion.V2, spi: bytes = hints.NO_SPI) -> Datagram:
    return Datagram(SocketAddress(ip_address(HQ), 500), SocketAddress(ip_address(source), 500),
                    hints.invalid_spi(version, spi, lambda size: bytes(size)))


def _unknown_esp(manager: IkeSaManager, source: str, now: float) -> None:
    manager.receive_unknown(b"none", SocketAddress(ip_address(HQ), 4500), SocketAddress(ip_address(source), 4500), now)


def _version(kind: Any) -> IkeVersion:
    return IkeVersion.V1 if kind is ikev1 else IkeVersion.V2


# ---------------------------------------------------------------------------------------------- what it costs

def _dynamic(number: int) -> Side:
    """So many gateways that may be anywhere."""
    def end(address: str, name: str) -> dict[str, Any]:
        return {"address": address, "identifier": {"type": "domain-name", "value": name}}

    return declaration.read({
        "site": {"name": "hq"}, "transforms": [dict(TRANSFORM)], "proposals": [dict(PROPOSAL)], "tunnels": [],
        "gateways": [{"name": f"g{each}", "ike_version": 2, "credential": {"method": "psk", "psk": f"{PSK} {each:04}"},
                      "endpoints": [{"local": end(HQ, "hq.example"), "remote": end("dynamic", f"b{each}.example")}],
                      "transforms": ["p1"], "start": "answer"} for each in range(number)]})


@pytest.mark.parametrize("what", ["IKE message", "ESP", "hint"])
def test_what_strangers_send_costs_no_more_beside_many_gateways_that_may_be_anywhere(what: str) -> None:
    costs = []
    for number in (20, 400):
        manager = VirtualNetwork({HQ: _dynamic(number)}).ends[HQ].manager

        def act(manager: IkeSaManager = manager) -> None:
            if what == "ESP":
                _unknown_esp(manager, _stranger(1), 1000.0)
            else:
                manager.receive((_hint if what == "hint" else _of_unknown_ike_sa)(_stranger(1)), 1000.0)

        act()  # what is cached for good is cached from here on
        manager.datagrams_to_send()
        costs.append(calls_of(act))
        assert len(manager.datagrams_to_send()) == (what != "hint"), "whoever it is may be one of them"
    print(f"{what}: {costs} calls")
    assert costs[1] < costs[0] + 20


# ---------------------------------------------------------------------------------------------- who gets in whose way

def _with_one_dynamic(kind: Any) -> Side:
    """The gateway at BRANCH, and one that may be anywhere."""
    side = kind.hq(start="answer")
    (peer,) = side.gateways
    if kind is ikev1:
        return side
    (other,) = _dynamic(1).gateways
    return Side(side.name, gateways=(peer, other), tunnels=side.tunnels)


@pytest.mark.parametrize("kind", VERSIONS)
def test_strangers_do_not_use_up_the_answers_that_peers_get(kind: Any) -> None:
    end = VirtualNetwork({HQ: _with_one_dynamic(kind)}).ends[HQ]
    for number in range(400):
        end.manager.receive(_of_unknown_ike_sa(_stranger(number), _version(kind).value, number + 1), 1000.0)
        _unknown_esp(end.manager, _stranger(number), 1000.0)
    assert len(end.manager.datagrams_to_send()) <= 200
    end.manager.receive(_of_unknown_ike_sa(BRANCH, _version(kind).value), 1000.0)
    assert len(end.manager.datagrams_to_send()) == 1
    _unknown_esp(end.manager, BRANCH, 1000.0)
    assert len(end.manager.datagrams_to_send()) == 1


@pytest.mark.parametrize("kind", VERSIONS)
def test_nor_do_they_keep_us_from_hearing_that_a_peer_has_lost_its_sas(kind: Any) -> None:
    network, one, _other = pair(kind.hq(), kind.branch(start="answer"))
    network.start()
    network.run(30)
    for number in range(400):
        one.manager.receive(_hint(_stranger(number), _version(kind)), network.now)
        _unknown_esp(one.manager, _stranger(number), network.now)
    assert not one.manager.datagrams_to_send()
    one.manager.receive(_hint(BRANCH, _version(kind)), network.now)
    assert [str(datagram.remote.address) for datagram in one.manager.datagrams_to_send()] == [BRANCH]


def test_the_peer_is_found_by_the_address_that_it_has_gone_to() -> None:
    network, one, other = pair(virtual_network.hq(start="answer"), virtual_network.branch())
    network.start()
    network.run(30)
    (session,) = one.manager._sessions.established("peer")
    session.move(session.local, SocketAddress(ip_address(_stranger(7)), 500))
    one.manager._touch(session)
    one.manager.receive(_hint(BRANCH), network.now)
    assert not one.manager.datagrams_to_send()
    one.manager.receive(_hint(_stranger(7)), network.now)
    assert len(one.manager.datagrams_to_send()) == 1
    one.manager.terminate("peer", network.now)
    other.manager.terminate("peer", network.now)
    network.run(60)
    assert not one.manager._sessions._at and not other.manager._sessions._at


# ---------------------------------------------------------------------------------------------- patience

def _deaf(network: VirtualNetwork, end: End, seconds: float, *, packets: bool) -> None:
    """No IKE passes for so long; ``packets`` of child SAs do."""
    network.tamper = lambda _datagram: None
    until = network.now + seconds
    while network.now < until:
        for spi in end.inbound if packets else ():
            network.packets[spi] += 1
        network.run(0.1)
    network.tamper = lambda datagram: datagram


DETECTION = [pytest.param({}, id="as by default"), pytest.param({"dead_peer_detection": {"enabled": False}}, id="none")]


@pytest.mark.parametrize("kind", VERSIONS)
def test_a_made_up_hint_does_not_cut_short_what_is_only_beginning(kind: Any) -> None:
    """The peer is 0.9 seconds away."""
    network, one, _other = pair(kind.hq(), kind.branch(start="answer"), latency=0.9)
    network.start()
    for _second in range(20):
        one.manager.receive(_hint(BRANCH, _version(kind)), network.now)
        network.run(1)
    assert one.sending and not one.reasons


@pytest.mark.parametrize("detection", DETECTION)
@pytest.mark.parametrize("kind", VERSIONS)
def test_a_made_up_hint_does_not_make_us_less_patient_than_is_declared(kind: Any, detection: dict[str, Any]) -> None:
    network, one, _other = pair(kind.hq(gateway=detection), kind.branch(start="answer", gateway=detection))
    network.start()
    network.run(5)
    for _time in range(3):
        one.manager.receive(_hint(BRANCH, _version(kind)), network.now)
        _deaf(network, one, 8, packets=False)
        network.run(12)
    assert not one.closings and one.sending


@pytest.mark.parametrize("kind", VERSIONS)
def test_a_hint_at_the_beginning_does_not_hide_what_the_peer_says_when_it_has_crashed_soon_after(kind: Any) -> None:
    network, one, _other = pair(kind.hq(), kind.branch(start="answer"))
    network.start()
    one.manager.receive(_hint(BRANCH, _version(kind)), network.now)
    network.run(1)
    assert one.sending
    fresh = network.ends[BRANCH] = network.end(kind.branch(start="answer"))
    fresh.manager.greet(network.now, ())
    network.run(4)
    assert len(one.closings) == 1 and one.sending and fresh.sending


def test_a_peer_that_died_is_missed_no_sooner_for_it_than_is_declared() -> None:
    for hinted in (False, True):
        network, one, _other = pair(virtual_network.hq(), virtual_network.branch(start="answer"))
        network.start()
        network.run(5)
        del network.ends[BRANCH]
        if hinted:
            one.manager.receive(_hint(BRANCH), network.now)
        silent_since = network.now - 5
        while not one.closings:
            network.run(0.1)
        print(f"hinted: {hinted}, missed after {network.now - silent_since:.1f} s")
        assert network.now - silent_since >= 20


def _notice(end: End, kind: Any) -> Datagram:
    """The peer, or somebody who saw the IKE SA's SPIs, says that it is unknown."""
    ike = end.manager.overview.gateways()[0].ike[0]
    if kind is ikev1:
        data = v1_message.encode_message(
            cookie_i=ike.spi_i, cookie_r=ike.spi_r, exchange=v1.ExchangeType.INFORMATIONAL, message_id=7,
            payloads=[V1Notify(v1.NotifyType.INVALID_COOKIE, spi=ike.spi_i + ike.spi_r)])
    else:
        data = encode_message(spi_i=ike.spi_i, spi_r=ike.spi_r, exchange=ExchangeType.INFORMATIONAL,
                              flags=HeaderFlag.RESPONSE, message_id=2, payloads=[Notify(NotifyType.INVALID_IKE_SPI)])
    return Datagram(SocketAddress(ip_address(HQ), 500), SocketAddress(ip_address(BRANCH), 500), data)


@pytest.mark.parametrize("rekeys", [False, True])
@pytest.mark.parametrize("detection", DETECTION)
@pytest.mark.parametrize("kind", VERSIONS)
def test_packets_show_that_the_peer_has_what_somebody_says_it_lost(kind: Any, detection: dict[str, Any],
                                                                    rekeys: bool) -> None:
    network, one, _other = pair(kind.hq(gateway=detection), kind.branch(start="answer", gateway=detection))
    network.start()
    network.run(5)
    if rekeys:
        network.tamper = lambda _datagram: None
        one.manager.rekey_child("lan", network.now)
        network.run(0)
    one.manager.receive(_notice(one, kind), network.now)
    _deaf(network, one, 4, packets=True)
    network.run(20)
    assert not one.closings and one.sending
