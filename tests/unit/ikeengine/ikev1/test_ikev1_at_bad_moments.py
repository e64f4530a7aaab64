# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators, reloads and a second ISAKMP SA that come while something of IKEv1 is under way."""

from __future__ import annotations

import struct

import pytest
from ikeengine.ike.events import IkeEstablished
from ikeengine.ikev1.session import Ikev1Session
from ikeengine.vpn.model import Side
from ikeengine.wire.header import decode_header
from ikeengine.wire.v1.constants import ExchangeType
from ikeengine.wire.v1.delete import Delete

from tests.conformance import ikev1_bench
from tests.conformance import ikev1_peer as wire
from tests.support.ikev1 import branch, hq
from tests.support.virtual_network import BRANCH, agree, pair

MODES = pytest.mark.parametrize("mode", [{"mode": "main"}, {"mode": "aggressive"}], ids=lambda mode: mode["mode"])
SETTLED = 25
TWO_ROUTES = (("10.1.0.0/24", "10.2.0.0/24"), ("10.1.1.0/24", "10.2.1.0/24"))


def up(one=None, other=None, **options):
    network, left, right = pair(one or hq(), other or branch(), **options)
    network.start()
    network.run(1)
    return network, left, right


def sessions(end) -> list[Ikev1Session]:
    return end.manager._sessions.of("peer")


def half_open(mode, **changes):
    """The responder waits for the initiator's last message of Phase 1."""
    network, one, other = pair(hq(gateway=mode), branch(gateway=mode, **changes))
    network.start()
    network.run(0.045 if mode["mode"] == "main" else 0.015)
    assert not other.manager.overview.gateways()[0].ike
    return network, one, other


@MODES
def test_a_gateway_taken_down_during_phase_1_does_not_come_up(mode):
    network, one, other = half_open(mode)
    other.manager.terminate("peer", network.now)
    network.run(5)
    assert [row.state for row in other.manager.overview.gateways()] == ["down"]
    assert not one.inbound and not other.inbound


@MODES
@pytest.mark.parametrize("declared", [Side("branch"), branch(psk="an entirely different key 8301")],
                         ids=["nothing", "another key"])
def test_a_gateway_declared_otherwise_during_phase_1_does_not_come_up(mode, declared):
    network, one, other = half_open(mode)
    other.manager.reload(declared, network.now)
    network.run(5)
    assert not one.inbound and not other.inbound and not other.count(IkeEstablished)


def test_dead_peer_detection_turned_off_while_it_asks():
    network, one, _other = up()
    network.ends.pop(BRANCH)
    network.run(21)
    one.manager.reload(hq(gateway={"dead_peer_detection": {"enabled": False}}), network.now)
    network.run(120)
    assert len(one.inbound) == 1 and not one.closings


def test_a_child_sa_deleted_by_way_of_the_isakmp_sa_before():
    """Peers use whichever ISAKMP SA they have."""
    network, one, other = up()
    (old,) = sessions(other)
    other.manager.rekey_ike("peer", network.now)
    network.run(0.5)
    assert len(sessions(one)) == 2
    (child,) = other.inbound.values()
    old.inform([Delete(child.protocol.value, (child.spi_in.to_bytes(4, "big"),))], network.now)
    network.run(0.1)
    assert not one.outbound


def test_a_child_sa_rekeyed_while_its_isakmp_sa_is_replaced_is_sent_on_in_time():
    off = {"dead_peer_detection": {"enabled": False}}
    network, one, other = up(hq(gateway=off), branch(gateway=off))
    before = set(one.inbound)
    one.manager.rekey_ike("peer", network.now)
    network.run(0.05)
    one.manager.rekey_child("lan", network.now)
    network.run(1)
    assert not before & {child.spi_in for child in one.sending.values()}
    network.run(10)
    agree(one, other, routes=1)
    assert not before & set(one.inbound)


def test_a_child_sa_rekeyed_while_two_isakmp_sas_follow_each_other():
    network, one, other = up()
    before, held = set(one.inbound), []

    def hold(datagram):
        if decode_header(datagram.data).exchange == ExchangeType.QUICK and not held:
            held.append(datagram)
            return None
        return datagram

    network.tamper = hold
    one.manager.rekey_child("lan", network.now)
    for _time in range(2):
        one.manager.rekey_ike("peer", network.now)
        network.run(0.1)
    network.run(SETTLED)
    agree(one, other, routes=1)
    assert not before & set(one.inbound)


def test_traffic_that_comes_while_the_isakmp_sa_is_replaced():
    network, one, other = pair(hq(routes=TWO_ROUTES, tunnels=2, start="traffic"), branch(routes=TWO_ROUTES, tunnels=2))
    network.traffic()
    network.run(1)
    agree(one, other, routes=2)
    one.manager.expire(max(one.inbound), network.now, hard=True)
    network.run(SETTLED)
    agree(one, other, routes=1)
    one.manager.rekey_ike("peer", network.now)
    network.traffic()
    network.run(1)
    agree(one, other, routes=2)


def quick_mode_of_the_peers(bench, peer, number, message_id):
    """The tester has message 2 of one more for the same route; returns how it confirms it."""
    spi = struct.pack(">I", 0xCAFE0000 + number)
    message = peer.open(bench.ask(peer.behind_hash(wire.QUICK, ikev1_bench.offer(peer, spi=spi), message_id)))
    return peer.confirmation(message_id, b"\x5a" * 32, message.body(wire.NONCE))


@pytest.mark.parametrize("confirmed", [(0, 1), (1, 0)])
def test_of_two_quick_modes_of_the_peer_s_for_one_route_the_later_is_sent_on(confirmed):
    bench, peer = ikev1_bench.answered()
    confirmations = []
    for number in range(2):
        confirmations.append(quick_mode_of_the_peers(bench, peer, number, 0x100 + number))
        bench.run(0.01)
    for number in confirmed:
        bench.give(confirmations[number])
    assert [child.spi_out for child in bench.daemon.sending.values()] == [0xCAFE0001]
    bench.run(8)
    assert [child.spi_out for child in bench.daemon.inbound.values()] == [0xCAFE0001]


def test_a_delete_that_comes_before_message_3():
    bench, peer = ikev1_bench.answered()
    confirmation = quick_mode_of_the_peers(bench, peer, 0, 0x100)
    bench.give(peer.behind_hash(wire.INFORMATIONAL, [wire.delete(wire.ESP, struct.pack(">I", 0xCAFE0000))], 0x77))
    bench.give(confirmation)
    assert not bench.daemon.inbound and not bench.daemon.outbound


def test_a_quick_mode_that_the_peer_never_confirms_is_closed_at_the_peer_too():
    """It may have the child SA, and send on it."""
    bench, peer = ikev1_bench.answered()
    quick_mode_of_the_peers(bench, peer, 0, 0x100)
    (child,) = bench.daemon.inbound.values()
    told = [peer.open(data) for data in bench.wait(60) if wire.parse(data).exchange == wire.INFORMATIONAL]
    assert (wire.ESP, (child.spi_in.to_bytes(4, "big"),)) in [row for message in told for row in message.deleted]
    assert not bench.daemon.inbound


@pytest.mark.parametrize("seed", range(12))
def test_both_ends_rekey_at_once_and_one_s_message_1_is_late(seed):
    """So one end takes for the later what the other takes for made at once."""
    network, one, other = up(seed=seed)
    lost = []

    def lose(datagram):
        if decode_header(datagram.data).exchange == ExchangeType.QUICK and not lost:
            lost.append(datagram)
            return None
        return datagram

    network.tamper = lose
    one.manager.rekey_child("lan", network.now)
    other.manager.rekey_child("lan", network.now)
    gaps = 0
    for _time in range(60):
        network.run(0.05)
        gaps += not (one.sending and other.sending)
    assert gaps <= 12  # until what the DELETE left is rekeyed, and the peer can have it
    network.run(SETTLED)
    agree(one, other, routes=1)
