# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IKEv1 through NATs (RFC 3947, RFC 3948): port 4500, encapsulation, keep-alive, and a mapping that moves."""

from __future__ import annotations

import ipaddress
from dataclasses import replace

import pytest
from ikeengine.ike.events import ChildMoved
from ikeengine.ikev1 import vendor_ids
from ikeengine.security_association import SocketAddress
from ikeengine.wire.header import decode_header
from ikeengine.wire.v1.constants import EncapsulationMode

from tests.support.ikev1 import PROPOSAL, branch, hq
from tests.support.virtual_network import BRANCH, HQ, agree, pair, translated

PRIVATE, PUBLIC = ipaddress.ip_address("172.16.5.7"), ipaddress.ip_address(BRANCH)
NAMES = {"identifiers": ("hq.example", "branch.example")}
MODES = pytest.mark.parametrize("mode", ["main", "aggressive"])


def behind_nat(mode, *, proposals=(PROPOSAL,), **gateway):
    """The branch has a private address, which the other end knows by that of its NAT."""
    settings = {"mode": mode, **gateway}
    inside = branch(gateway={**settings, "endpoints": [{
        "local": {"address": str(PRIVATE), "identifier": {"type": "domain-name", "value": "branch.example"}},
        "remote": {"address": HQ, "identifier": {"type": "domain-name", "value": "hq.example"}}}]},
        start="boot", proposals=proposals)
    network, one, _nobody = pair(hq(gateway=settings, start="answer", proposals=proposals, **NAMES), inside)
    network.ends[str(PRIVATE)] = network.ends.pop(BRANCH)
    network.tamper = translated(PRIVATE, PUBLIC)
    network.start()
    network.run(1)
    return network, one, network.ends[str(PRIVATE)]


@MODES
def test_both_ends_see_the_nat_and_go_on_at_port_4500(mode):
    network, one, other = behind_nat(mode)
    agree(one, other, routes=1)
    (child,) = one.inbound.values()
    assert child.udp_encapsulated and child.remote == SocketAddress(PUBLIC, 4500)
    assert one.manager.overview.gateways()[0].ike[0].nat and other.manager.overview.gateways()[0].ike[0].nat
    ports = [datagram.remote.port for _time, datagram in network.sent if len(datagram.data) > 1]
    assert ports == sorted(ports) and {500, 4500} == set(ports)


@MODES
def test_who_is_behind_the_nat_keeps_its_mapping_alive(mode):
    network, _one, _other = behind_nat(mode, dead_peer_detection={"enabled": False})
    before = len(network.sent)
    network.run(100)
    assert [datagram.data for _time, datagram in network.sent[before:]] == [b"\xff"] * 5
    assert {datagram.local.address for _time, datagram in network.sent[before:]} == {PRIVATE}


def test_a_mapping_that_moves_is_followed_once_something_authentic_comes_from_it():
    network, one, other = behind_nat("main")
    moved = translated(PRIVATE, PUBLIC)

    def elsewhere(datagram):
        datagram = moved(datagram)
        if datagram.local.address == PUBLIC:
            return replace(datagram, local=SocketAddress(PUBLIC, 61000))
        if datagram.remote == SocketAddress(PRIVATE, 61000):
            return replace(datagram, remote=SocketAddress(PRIVATE, 4500))
        return datagram

    network.tamper = elsewhere
    other.manager.rekey_child("lan", network.now)
    network.run(20)
    agree(one, other, routes=1)
    assert any(isinstance(event, ChildMoved) and event.child.remote.port == 61000 for event in one.events)


@MODES
def test_rekeys_stay_at_port_4500(mode):
    network, one, other = behind_nat(mode)
    for end in (one, other):
        network.sent.clear()
        end.manager.rekey_ike("peer", network.now)
        end.manager.rekey_child("lan", network.now)
        network.run(25)
        agree(one, other, routes=1)
        assert {datagram.remote.port for _time, datagram in network.sent} == {4500}


@MODES
def test_without_nat_traversal_nothing_is_encapsulated(mode):
    off = {"mode": mode, "nat_traversal": {"enabled": False}}
    network, one, other = pair(hq(gateway=off), branch(gateway={"mode": mode}))
    network.start()
    network.run(1)
    agree(one, other, routes=1)
    assert not next(iter(one.inbound.values())).udp_encapsulated
    assert {datagram.remote.port for _time, datagram in network.sent} == {500}


@MODES
def test_a_data_plane_that_does_esp_in_udp_only_asks_for_it(mode):
    network, one, other = pair(hq(gateway={"mode": mode}), branch(gateway={"mode": mode}),
                               encapsulate=lambda _name: True)
    network.start()
    network.run(1)
    agree(one, other, routes=1)
    assert next(iter(one.inbound.values())).udp_encapsulated


@MODES
def test_where_the_peer_does_no_nat_traversal_such_a_data_plane_cannot_serve(mode):
    network, one, other = pair(hq(gateway={"mode": mode}),
                               branch(gateway={"mode": mode, "nat_traversal": {"enabled": False}}),
                               encapsulate=lambda _name: True)
    network.start()
    network.run(1)
    assert not one.inbound
    assert any("ESP in UDP only" in str(reason) for reason in (*one.reasons, *other.reasons))


@pytest.mark.parametrize("edition", vendor_ids.NAT_TRAVERSALS[1:], ids=["03", "02 with a newline", "02"])
@MODES
def test_the_drafts_that_peers_still_send(monkeypatch, edition, mode):
    """Both ends of this test know that one draft alone, as old peers do."""
    monkeypatch.setattr(vendor_ids, "NAT_TRAVERSALS", (edition,))
    network, one, other = behind_nat(mode)
    agree(one, other, routes=1)
    assert next(iter(one.inbound.values())).udp_encapsulated
    (session,) = one.manager._sessions.of("peer")
    assert session.encapsulation_mode is EncapsulationMode.UDP_TUNNEL_DRAFT
    assert any(decode_header(datagram.data).exchange == 32 for _time, datagram in network.sent)


@MODES
def test_ah_is_not_even_asked_for_behind_a_nat(mode):
    ah = {"name": "p2", "protocol": "AH", "authentication": "SHA2-256"}
    _network, one, other = behind_nat(mode, proposals=(ah,))
    assert not one.inbound and not one.reasons and "a NAT lies between" in str(other.reasons[0])
