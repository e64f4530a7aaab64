# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every pair of step and exchange of IKEv1: a message that the peer could have made does what its row says."""

from __future__ import annotations

import itertools

import pytest
from ikeengine.ikev1 import transitions
from ikeengine.ikev1.payload_rules import FIRST, PHASE_1
from ikeengine.ikev1.state import Step
from ikeengine.ikev1.transitions import ANY_OTHER
from ikeengine.vpn.model import Mode
from ikeengine.wire.v1.constants import ExchangeType, PayloadType

from tests.conformance import ikev1_bench as bench_of
from tests.conformance import ikev1_peer as wire
from tests.conformance.peer import NO_SPI, Row

EXCHANGES = (*map(int, ExchangeType), ANY_OTHER)
#: Octets that stand for `ANY_OTHER`: the least, Base, Authentication Only, Transaction, New Group, one of IKEv2's, the
#: most.
OTHERS = (0, 1, 3, 6, 33, 35, 255)


def aggressively_asked():
    bench, peer = (bench_of.bench_of(starts=True, **bench_of.AGGRESSIVE_GATEWAY), bench_of.scripted(initiator=False))
    message = wire.parse(bench.begin())
    peer.cookie_i, peer.sa_body = message.cookie_i, message.body(wire.SA)
    peer.take_key_exchange(message)
    return bench, peer


def aggressive_answer(peer):
    own = wire.identity(peer.local)
    return [wire.sa(), *peer.key_exchange_rows(), own, Row(wire.HASH, peer.proof(own.body))]


STEPS = {Step.MAIN_2: [bench_of.asked], Step.MAIN_3: [bench_of.begun], Step.MAIN_4: [bench_of.asked_for_key_exchange],
         Step.MAIN_5: [bench_of.keyed], Step.MAIN_6: [bench_of.asked_for_identity],
         Step.AGGRESSIVE_2: [aggressively_asked], Step.AGGRESSIVE_3: [bench_of.aggressively_answered],
         Step.UP: [bench_of.up, bench_of.asked_and_up]}
BROUGHT = [pytest.param(step, bring, id=f"{step.name} {number}" if number else step.name)
           for step, ways in STEPS.items() for number, bring in enumerate(ways)]
DUE = {Step.MAIN_2: lambda _peer: [wire.sa()], Step.MAIN_3: wire.Peer.key_exchange_rows,
       Step.MAIN_4: wire.Peer.key_exchange_rows, Step.MAIN_5: wire.Peer.identity_rows,
       Step.MAIN_6: wire.Peer.identity_rows, Step.AGGRESSIVE_2: aggressive_answer,
       Step.AGGRESSIVE_3: lambda peer: [Row(wire.HASH, peer.proof(wire.identity(peer.local).body))]}
IN_CLEAR = (Step.MAIN_2, Step.MAIN_3, Step.MAIN_4, Step.AGGRESSIVE_2)


def session_of(bench):
    (session,) = bench.manager._sessions
    return session


def message_for(peer, step, exchange):
    """The one that is due where the exchange is that of the step, else one that its peer could make."""
    if step is Step.UP:
        rows = bench_of.offer(peer) if exchange == wire.QUICK else [wire.notify(wire.INITIAL_CONTACT)]
        return peer.behind_hash(exchange, rows, 0x0BADCAFE)
    if exchange == wire.INFORMATIONAL:
        return peer.clear(exchange, [wire.notify(wire.NO_PROPOSAL_CHOSEN)], message_id=0x0BADCAFE)
    return (peer.clear if step in IN_CLEAR else peer.encrypted)(exchange, DUE[step](peer))


@pytest.mark.parametrize("exchange", [*map(int, ExchangeType), *OTHERS])
@pytest.mark.parametrize(("step", "bring"), BROUGHT)
def test_a_message(step, bring, exchange):
    row = transitions.on_message(step, exchange)
    bench, peer = bring()[:2]
    session = session_of(bench)
    assert session.step is step
    before, children = session.state, len(session.children)
    sent = bench.give(message_for(peer, step, exchange))
    if row.take is None:
        assert sent == [] and bench.counters == {row.story: 1}
        assert (session.step, session.state, len(session.children)) == (step, before, children)
    elif row.story == "is_due":
        assert session.step is not step and not bench.counters
        assert sent or session.step is Step.UP
    elif row.story == "an_error_ends_it":
        assert sent == [] and bench.states == [] and bench.daemon.reasons
    elif row.story == "creates":
        assert len(sent) == 1 and len(bench.daemon.inbound) == children + 1
    else:
        assert row.story == "informed" and sent == [] and not bench.counters


@pytest.mark.parametrize(("step", "bring"), [row for row in BROUGHT if row.values[0] in PHASE_1])
def test_a_message_with_a_payload_too_few_or_too_many_is_dropped_and_the_right_one_taken(step, bring):
    """Whatever the table of payloads says of the message that is due."""
    for kind, (least, most) in PHASE_1[step].items():
        bench, peer = bring()[:2]
        session, rows = session_of(bench), DUE[step](peer)
        there = [row for row in rows if row.kind == kind]
        wrong = [[row for row in rows if row.kind != kind]] if least else []
        wrong.append(rows + (there or [Row(int(kind), bytes(32))]) * most + [Row(int(kind), bytes(32))])
        exchange = wire.AGGRESSIVE if "AGGRESSIVE" in step.name else wire.MAIN
        for number, odd in enumerate(wrong, 1):
            data = (peer.clear(exchange, odd) if step in IN_CLEAR else peer.encrypted(exchange, odd, keep=False))
            assert bench.give(data) == [] and bench.counters == {"malformed": number} and session.step is step
        bench.give((peer.clear if step in IN_CLEAR else peer.encrypted)(exchange, rows))
        assert session.step is not step


@pytest.mark.parametrize("mode", list(Mode)[:2])
def test_a_first_message_with_a_payload_too_few_or_too_many_begins_nothing(mode):
    exchange = wire.AGGRESSIVE if mode is Mode.AGGRESSIVE else wire.MAIN
    options = bench_of.AGGRESSIVE_GATEWAY if mode is Mode.AGGRESSIVE else {}
    for kind in FIRST[mode]:
        bench, peer = bench_of.bench_of(starts=False, **options), bench_of.scripted(initiator=True)
        rows = bench_of.aggressive_rows(peer) if mode is Mode.AGGRESSIVE else [wire.sa()]
        for odd in ([row for row in rows if row.kind != kind], rows + [row for row in rows if row.kind == kind]):
            assert bench.give(peer.clear(exchange, odd)) == []
        assert bench.states == [] and bench.counters == {"malformed": 2}


@pytest.mark.parametrize("exchange", [*map(int, ExchangeType), *OTHERS])
def test_a_message_of_no_isakmp_sa(exchange):
    """Only Main and Aggressive Mode begin one."""
    bench, peer = bench_of.bench_of(starts=False), bench_of.scripted(initiator=True)
    sent = bench.give(peer.clear(exchange, [wire.sa()], cookie_r=NO_SPI))
    if exchange == wire.MAIN:
        assert bench.states == ["responding"] and len(sent) == 1
    elif exchange == wire.AGGRESSIVE:
        assert sent == [] and bench.counters == {"malformed": 1}
    else:
        assert sent == [] and bench.counters == {"unknown_spi": 1}


def test_no_pair_is_missing():
    assert set(transitions.MESSAGES) == set(itertools.product(Step, EXCHANGES))
    assert set(PHASE_1) == set(Step) - {Step.NEW, Step.UP}
    assert all(kind in PayloadType for row in PHASE_1.values() for kind in row)
