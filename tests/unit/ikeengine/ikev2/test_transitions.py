# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every pair of state and exchange, in both directions: an authentic message does what its row says."""

from __future__ import annotations

import itertools

import pytest
from ikeengine.ike.state import State
from ikeengine.ikev2 import transitions
from ikeengine.ikev2.requests import Requests
from ikeengine.ikev2.transitions import ANY_OTHER, Reaction
from ikeengine.wire.constants import ExchangeType

from tests.conformance import peer as wire
from tests.conformance.bench import (
    Bench,
    answered,
    authenticating,
    child_rows,
    half_open,
    initiated,
    new_ike,
    rekeyed_child,
    scripted,
)
from tests.support.virtual_network import TRANSFORM, branch, hq, pair

EXCHANGES = (*map(int, ExchangeType), ANY_OTHER)
#: Octets that stand for `ANY_OTHER`: the least, one of IKEv1's, the next that IANA may assign, private use, the most.
OTHERS = (0, 5, 45, 240, 255)
HYBRID = {**TRANSFORM, "additional_key_exchange": "ML-KEM-768"}


def initiating():
    bench, peer = Bench(starts=True), scripted(initiator=False)
    peer.spi_i = wire.parse(bench.begin()).spi_i
    peer.keys = wire.Keys.derive(bytes(32), b"", b"")  # there are none that both could have
    return bench, peer


def responding():
    return half_open()


def replaced():
    bench, peer = answered()
    bench.ask(peer.seal(wire.CREATE_CHILD_SA, new_ike(peer)))
    return bench, peer


def closing():
    bench, peer = initiated()
    bench.manager.terminate("peer", bench.now)
    bench.wait(0.1)
    return bench, peer


def closed():
    bench, peer = answered()
    bench.ask(peer.seal(wire.INFORMATIONAL, [wire.delete(wire.IKE)]))
    return bench, peer


STATES = {State.INITIATING: [initiating], State.RESPONDING: [responding],
          State.AUTHENTICATING: [lambda: authenticating()[:2]], State.ESTABLISHED: [answered, initiated],
          State.REPLACED: [replaced], State.CLOSING: [closing], State.CLOSED: [closed]}
BROUGHT = [pytest.param(state, bring, id=f"{state.value} {number}" if number else state.value)
           for state, ways in STATES.items() for number, bring in enumerate(ways)]


def rows_of(peer, exchange):
    """Payloads that the exchange may carry."""
    if exchange == wire.IKE_AUTH and peer.init_request_octets and peer.init_response_octets:
        return peer.auth_rows(child_rows(peer))
    if exchange == wire.CREATE_CHILD_SA:
        return rekeyed_child(peer)
    return [wire.ke(bytes(1184), 36)] if exchange in (43, 44) else []


def states_of(bench):
    return [State(value) for value in bench.states]


@pytest.mark.parametrize("exchange", [*map(int, ExchangeType), *OTHERS])
@pytest.mark.parametrize(("state", "bring"), BROUGHT)
def test_a_request(state, bring, exchange):
    row = transitions.on_request(state, exchange)
    bench, peer = bring()
    before, counted = states_of(bench), dict(bench.counters)
    assert state is State.CLOSED or before[0] is state
    number = peer.next_id
    sent = bench.give(peer.seal(exchange, rows_of(peer, exchange)))
    counters = {what: count - counted.get(what, 0) for what, count in bench.counters.items()
                if count != counted.get(what, 0)}
    if state is State.CLOSED and exchange != wire.IKE_SA_INIT:
        assert wire.parse(sent[0]).notes == [wire.INVALID_IKE_SPI, wire.QUICK_CRASH_DETECTION]
        assert counters == {row.story: 1}
        return
    if row.reaction is Reaction.DROP:
        assert sent == [] and states_of(bench) == before
        # The acceptor takes an IKE_SA_INIT request before any IKE SA does, and this one is none.
        assert counters == {row.story: 1} or (exchange == wire.IKE_SA_INIT and counters == {"malformed": 1})
        return
    answer = peer.open(sent[0])
    assert (answer.exchange, answer.message_id, answer.is_response) == (exchange, number, True)
    if row.reaction is Reaction.LATER:
        assert answer.notes == [wire.TEMPORARY_FAILURE] and states_of(bench) == before and not counters
    elif row.reaction is Reaction.REFUSE:
        assert answer.notes == [wire.INVALID_SYNTAX] and states_of(bench) == before
        assert counters == {"unexpected_exchange": 1}
    elif row.reaction is Reaction.CLOSE:
        assert answer.notes == [wire.INVALID_SYNTAX] and states_of(bench) == before[1:]
        assert counters == {"unexpected_exchange": 1}
    else:
        assert row.reaction is Reaction.ANSWER and "unexpected_exchange" not in counters


@pytest.mark.parametrize("exchange", [*map(int, ExchangeType), *OTHERS])
@pytest.mark.parametrize(("state", "bring"), BROUGHT)
def test_a_response_that_answers_nothing(state, bring, exchange):
    """None of that exchange is under way, or none by that number: dropped and counted, whatever the row."""
    row = transitions.on_response(state, exchange)
    assert row.reaction in (Reaction.TAKE, Reaction.DROP)
    bench, peer = bring()
    before, counted = states_of(bench), sum(bench.counters.values())
    assert bench.give(peer.seal(exchange, rows_of(peer, exchange), response=True, message_id=77)) == []
    assert states_of(bench) == before and sum(bench.counters.values()) == counted + 1
    assert bench.counters["unknown_spi" if state is State.CLOSED else "unexpected_response"] == 1


def test_a_response_is_taken_in_every_state_and_exchange_in_which_one_may_be_under_way(monkeypatch):
    """Two daemons with a hybrid suite go through their lives; a peer that rekeys amid a liveness check adds one."""
    taken = set()
    plain = Requests.answered_by

    def watched(self, header):
        found = plain(self, header)
        if found is not None:
            taken.add((self._session.state, int(header.exchange)))
        return found

    monkeypatch.setattr(Requests, "answered_by", watched)
    network, one, _other = pair(hq(transforms=(HYBRID,)), branch(transforms=(HYBRID,), start="answer"))
    network.start()
    network.run(30)
    one.manager.rekey_ike("peer", network.now)
    network.run(10)
    one.manager.terminate("peer", network.now)
    network.run(1)

    bench, peer = initiated()
    (data,) = bench.wait(20.2)
    bench.ask(peer.seal(wire.CREATE_CHILD_SA, new_ike(peer)))
    assert bench.states == ["replaced", "established"]
    bench.give(peer.seal(wire.INFORMATIONAL, response=True, message_id=peer.open(data).message_id))

    possible = {key for key, row in transitions.RESPONSES.items() if row.reaction is Reaction.TAKE}
    assert taken <= possible
    assert possible - taken <= {(State.REPLACED, ExchangeType.CREATE_CHILD_SA),
                                (State.REPLACED, ExchangeType.IKE_FOLLOWUP_KE)}


@pytest.mark.parametrize("table", [transitions.REQUESTS, transitions.RESPONSES], ids=["requests", "responses"])
def test_no_pair_is_missing(table):
    assert set(table) == set(itertools.product(State, EXCHANGES))


def test_rows_say_what_becomes_of_the_message():
    for row in transitions.REQUESTS.values():
        assert row.reaction is not Reaction.TAKE and (row.respond is None) is (row.reaction is Reaction.DROP)
        assert row.story.replace("_", "").isalpha()
    for row in transitions.RESPONSES.values():
        assert row.reaction in (Reaction.TAKE, Reaction.DROP) and row.respond is None
