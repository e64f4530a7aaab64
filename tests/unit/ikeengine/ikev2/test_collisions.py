# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exchanges that crossed in ways that `test_colliding_exchanges` has found to go wrong, one by one."""

from __future__ import annotations

import pytest
from ikeengine.ike.events import ChildOutbound
from ikeengine.wire.constants import ExchangeType, PayloadType
from ikeengine.wire.header import decode_header

from tests.support.virtual_network import BRANCH, HQ, ROUTES, agree, branch, hq, pair

TWO_ROUTES = (*ROUTES, ("10.1.1.0/24", "10.2.1.0/24"))


def up(*, seed=0, **changes):
    network, one, other = pair(hq(start="traffic", **changes), branch(start="traffic", **changes), seed=seed)
    tunnel = one.manager.overview.tunnels()[0]
    one.manager.acquire(network._reqid("lan", tunnel.routes[0].declared), network.now)
    network.run(5)
    return network, one, other


def test_the_ike_sa_that_lost_a_crossing_is_deleted_though_the_answer_is_lost():
    network, one, other = up()
    old, lost = one.manager.overview.gateways()[0].ike[0].spi_i, []

    def lose_the_answer(datagram):
        header = decode_header(datagram.data)
        if header.is_response and header.exchange == ExchangeType.INFORMATIONAL and header.spi_i != old and not lost:
            lost.append(datagram)
            return None
        return datagram

    network.tamper = lose_the_answer
    for end in (one, other):
        end.manager.rekey_ike("peer", network.now)
    network.run(2)
    assert lost
    agree(one, other, routes=1)
    assert len(one.manager._sessions) == len(other.manager._sessions) == 1


@pytest.mark.parametrize("unheard", [HQ, BRANCH])
@pytest.mark.parametrize("seed", range(4))
def test_an_ike_sa_that_its_maker_never_knew_of_goes_by_itself(seed, unheard):
    """The DELETE of the old IKE SA came before the answer by which the new one would have been known."""
    network, one, other = up(seed=seed)
    old, lost = one.manager.overview.gateways()[0].ike[0].spi_i, []

    def lose_the_answer(datagram):
        header = decode_header(datagram.data)
        is_answer = header.is_response and header.exchange == ExchangeType.CREATE_CHILD_SA and header.spi_i == old
        if is_answer and str(datagram.remote.address) == unheard and len(lost) < 2:
            lost.append(datagram)
            return None
        return datagram

    network.tamper = lose_the_answer
    for end in (one, other):
        end.manager.rekey_ike("peer", network.now)
    network.run(60)
    assert lost
    agree(one, other, routes=1)
    assert len(one.manager._sessions) == len(other.manager._sessions) == 1
    assert one.closings[-1] == other.closings[-1] == "rekeyed"
    assert not one.reasons and not other.reasons


def test_nobody_hears_that_an_ike_sa_is_unknown_which_the_peer_has_just_made_for_us():
    """It makes use of it before its answer is here: a token of RFC 6290 in clear would end it whenever it comes."""
    network, one, other = up()
    lost = []

    def lose_the_answer(datagram):
        header = decode_header(datagram.data)
        if header.is_response and header.exchange == ExchangeType.CREATE_CHILD_SA and not lost:
            lost.append(datagram)
            return None
        return datagram

    network.tamper = lose_the_answer
    one.manager.rekey_ike("peer", network.now)
    network.run(0.1)
    other.manager.rekey_child("lan", network.now)
    network.run(0.1)
    assert lost and one.manager.counters["unknown_spi"] == 1
    assert not any(header.is_response and header.next_payload == PayloadType.NOTIFY for header in (
        decode_header(datagram.data) for _time, datagram in network.sent))
    network.run(30)
    agree(one, other, routes=1)
    assert not one.reasons and not other.reasons
    assert not one.manager._sessions.offered and not other.manager._sessions.offered


def test_a_child_sa_that_the_peer_cannot_take_for_now_is_asked_for_again():
    network, one, other = up(routes=TWO_ROUTES, tunnels=2)
    for end in (one, other):
        end.manager.terminate("peer", network.now, "lan1")
    network.run(5)
    agree(one, other, routes=1)
    one.manager._declared.peers["peer"].held.clear()
    one.manager.rekey_ike("peer", network.now)
    other.manager.initiate("peer", network.now, "lan1")
    other.manager._declared.peers["peer"].wanted = False
    network.run(30)
    assert not one.reasons and not other.reasons
    agree(one, other, routes=2)


def test_a_late_delete_brings_no_child_sa_back_that_was_rekeyed_since():
    network, one, other = up()
    late = []

    def hold_the_first_delete(datagram):
        header = decode_header(datagram.data)
        is_meant = str(datagram.local.address) == HQ and header.exchange == ExchangeType.INFORMATIONAL
        if is_meant and not header.is_response and not late:
            late.append(datagram)
            return None
        return datagram

    network.tamper = hold_the_first_delete
    one.manager.rekey_child("lan", network.now)
    network.run(0.1)
    (second,) = [child for child in other.inbound.values() if child.spi_out in one.inbound and child not in
                 other.sending.values()]
    other.manager.rekey_child("lan", network.now, second.spi_in)
    network.run(0.025)  # our DELETE of the second is on its way, and the one that is late comes before its answer
    network._fly(late[0])
    network.run(30)
    agree(one, other, routes=1)
    assert second not in [event.child for event in other.events if isinstance(event, ChildOutbound)]
    assert other.count(ChildOutbound) == one.count(ChildOutbound) - 1


def kept_up(*, number_lost, exchange):
    """One end keeps the tunnel up; so many answers of that exchange get lost on their way to it from now on."""
    network, one, other = pair(hq(start="boot"), branch(start="traffic"))
    one.manager.start(network.now)
    network.run(5)
    agree(one, other, routes=1)
    lost = []

    def lose_answers(datagram):
        header = decode_header(datagram.data)
        is_meant = header.is_response and header.exchange == exchange and str(datagram.remote.address) == HQ
        if is_meant and len(lost) < number_lost:
            lost.append(datagram)
            return None
        return datagram

    network.tamper = lose_answers
    return network, one, other


def expire_all(network, end):
    for child in list(end.inbound.values()):
        end.manager.expire(child.spi_in, network.now, hard=True)


def test_a_tunnel_comes_back_whose_child_sas_the_peer_deletes_before_the_answer_to_a_rekey_is_here():
    """Whoever looks meanwhile for what is missing sees that it is asked for."""
    network, one, other = kept_up(number_lost=2, exchange=ExchangeType.CREATE_CHILD_SA)
    one.manager.rekey_child("lan", network.now)
    network.run(0.1)
    assert len(other.inbound) == 2
    expire_all(network, other)
    network.run(1)
    assert not one.inbound and not other.inbound
    network.run(60)
    agree(one, other, routes=1)


def test_a_tunnel_comes_back_of_whose_child_sas_the_last_is_deleted_late():
    """It waits for the answer to another's DELETE for longer than it takes until somebody looks for what is missing."""
    network, one, other = kept_up(number_lost=2, exchange=ExchangeType.INFORMATIONAL)
    other.manager.rekey_child("lan", network.now)
    network.run(0.025)
    assert len(one.inbound) == 2
    expire_all(network, one)
    network.run(1)
    assert one.inbound
    network.run(60)
    agree(one, other, routes=1)
