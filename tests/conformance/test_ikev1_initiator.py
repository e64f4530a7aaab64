# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemon as initiator of IKEv1: Main and Quick Mode, and what it sends by itself."""

from __future__ import annotations

import pytest

from tests.conformance.bench import CHILD_SPI
from tests.conformance.ikev1_bench import (
    asked,
    asked_and_up,
    asked_for_child,
    asked_for_identity,
    asked_for_key_exchange,
    grant,
)
from tests.conformance.ikev1_peer import (
    AUTHENTICATION_FAILED,
    ENCRYPTION,
    ESP,
    HASH,
    ID,
    INFORMATIONAL,
    INVALID_ID_INFORMATION,
    ISAKMP,
    KE,
    MAIN,
    NO_PROPOSAL_CHOSEN,
    NONCE,
    PHASE_1,
    PHASE_2,
    QUICK,
    SA,
    VENDOR_ID,
    identity,
    network,
    notify,
    parse,
    sa,
)
from tests.conformance.outline import case
from tests.conformance.peer import NO_SPI, Row


def answer_quick_mode(bench, peer, request, rows=None, **changes):
    rows = grant(peer, request) if rows is None else rows
    return bench.give(peer.behind_hash(QUICK, rows, request.message_id, nonce=request.body(NONCE), **changes))


# -------------------------------------------------------------------------------------- Main Mode

@case("IKEv1.I-a", "message 1: cookies, one proposal with a transform for each that is declared, vendor ids",
      "RFC 2408 3.1, RFC 2409 5")
def test_message_1_of_main_mode():
    bench, _peer, message = asked()
    assert message.cookie_i != NO_SPI and message.cookie_r == NO_SPI and message.message_id == 0
    assert (message.version, message.exchange, message.flags) == (0x10, MAIN, 0)
    assert message.kinds[0] == SA and set(message.kinds[1:]) == {VENDOR_ID}
    spi, attributes = message.chosen
    assert spi == b"" and set(PHASE_1[:5]) <= set(attributes) and bench.states == ["initiating"]


@case("IKEv1.I-b", "messages 3 and 5: public value and nonce; identity and HASH_I, encrypted", "RFC 2409 5, 5.4")
def test_messages_3_and_5_of_main_mode():
    bench, peer, message = asked_for_key_exchange()
    assert message.kinds == [KE, NONCE] and len(message.body(KE)) == 256 and message.cookie_r == peer.cookie_r
    message = peer.open(bench.ask(peer.clear(MAIN, peer.key_exchange_rows())))
    assert message.flags == ENCRYPTION and message.kinds[:2] == [ID, HASH]
    assert message.body(ID)[:1] + message.body(ID)[4:] == bytes([1, 192, 0, 2, 2])
    assert message.body(HASH) == peer.proof(message.body(ID), own=False) and bench.states == ["authenticating"]


@case("IKEv1.I-c", "each message is repeated, octet for octet, until it is answered", "RFC 2408 5.1")
@pytest.mark.parametrize("bring", [asked, asked_for_key_exchange, asked_for_identity])
def test_messages_are_repeated(bring):
    bench, _peer, _message = bring()
    data = bench.sent[-1][1].data
    again = bench.wait(3)
    assert len(again) >= 2 and set(again) == {data}


@case("IKEv1.I-d", "a transform that was not offered, or more than one, ends the attempt", "RFC 2409 5")
@pytest.mark.parametrize("row", [sa((*PHASE_1[:1], (14, 128), *PHASE_1[2:])), sa(PHASE_1, PHASE_1)],
                         ids=["another", "two"])
def test_a_choice_that_was_not_offered(row):
    bench, peer, _message = asked()
    (data,) = bench.give(peer.clear(MAIN, [row]))
    assert parse(data).notes == [NO_PROPOSAL_CHOSEN] and bench.states == []


@case("IKEv1.I-e", "malformed messages 2 and 4 are dropped, and waited past", "RFC 2408 5.2")
def test_malformed_messages():
    bench, peer, _message = asked()
    assert bench.give(peer.clear(MAIN, [Row(VENDOR_ID, b"only")])) == [] and bench.states == ["initiating"]
    peer.take_key_exchange(parse(bench.ask(peer.clear(MAIN, [sa()]))))
    assert bench.give(peer.clear(MAIN, peer.key_exchange_rows()[:1])) == [] and bench.counters == {"malformed": 2}
    peer.open(bench.ask(peer.clear(MAIN, peer.key_exchange_rows())))


@case("IKEv1.I-f", "message 6 in clear: dropped; with a wrong HASH_R: not believed; the right one still is",
      "RFC 2409 5.4")
def test_message_6_that_is_not_believed():
    bench, peer, _message = asked_for_identity()
    assert bench.give(peer.clear(MAIN, peer.identity_rows())) == [] and bench.states == ["authenticating"]
    rows = [identity(peer.local), Row(HASH, bytes(32))]
    (data,) = bench.give(peer.encrypted(MAIN, rows, keep=False))
    assert parse(data).exchange == INFORMATIONAL and bench.states == ["authenticating"]
    assert peer.open(bench.ask(peer.encrypted(MAIN, peer.identity_rows()))).exchange == QUICK


@case("IKEv1.I-g", "another identity than the declared one ends the attempt", "RFC 2408 5.8")
def test_another_identity():
    bench, peer, _message = asked_for_identity()
    own = identity("203.0.113.9")
    sent = bench.give(peer.encrypted(MAIN, [own, Row(HASH, peer.proof(own.body))]))
    assert bench.states == [] and parse(sent[0]).notes and "203.0.113.9" in bench.daemon.reasons[-1]


@case("IKEv1.I-h", "an error in clear ends an attempt that has no keys, and nothing that is up", "RFC 2408 5.14")
def test_an_error_in_clear():
    bench, peer, _message = asked()
    assert bench.give(peer.clear(INFORMATIONAL, [notify(NO_PROPOSAL_CHOSEN)], message_id=0x55)) == []
    assert bench.states == [] and bench.daemon.reasons
    bench, peer, _message = asked_and_up()
    for kind in (NO_PROPOSAL_CHOSEN, AUTHENTICATION_FAILED):
        assert bench.give(peer.clear(INFORMATIONAL, [notify(kind)], message_id=0x55)) == []
    assert bench.states == ["established"] and len(bench.daemon.inbound) == 1


@case("IKEv1.I-i", "a message identifier other than zero in Phase 1: dropped", "RFC 2408 3.1")
def test_a_message_identifier_in_phase_1():
    bench, peer, _message = asked()
    assert bench.give(peer.clear(MAIN, [sa()], message_id=5)) == []
    assert bench.counters == {"malformed": 1} and bench.states == ["initiating"]


@case("IKEv1.I-j", "messages under another initiator cookie are dropped", "RFC 2408 5.2")
def test_another_cookie():
    bench, peer, _message = asked()
    assert bench.give(peer.clear(MAIN, [sa()], cookie_i=b"wrongone")) == []
    assert bench.counters == {"unknown_spi": 1} and bench.states == ["initiating"]


@case("IKEv1.I-k", "a silent peer: the attempt ends with a reason", "RFC 2408 5.1")
def test_a_silent_peer():
    bench, _peer, _message = asked()
    bench.wait(60)
    assert any("silent" in reason for reason in bench.daemon.reasons)


# -------------------------------------------------------------------------------------- Quick Mode

@case("IKEv1.I-l", "message 1 of Quick Mode: HASH(1), proposals, nonce, public value, both identities", "RFC 2409 5.5")
def test_message_1_of_quick_mode():
    _bench, _peer, message = asked_for_child()
    assert message.message_id and message.flags & ENCRYPTION and message.kinds == [HASH, SA, NONCE, KE, ID, ID]
    spi, attributes = message.chosen
    assert len(spi) == 4 and dict(attributes)[6] == 256 and dict(attributes)[3] == 14
    assert [row for row in message.rows if row.kind == ID] == [network("10.1.0.0/24"), network("10.2.0.0/24")]


@case("IKEv1.I-m", "message 3 is HASH(3), and the child SA has the keys that RFC 2409 derives", "RFC 2409 5.5")
def test_message_3_of_quick_mode():
    bench, peer, request = asked_for_child()
    (data,) = answer_quick_mode(bench, peer, request)
    confirmed = peer.open(data)
    nonces = request.body(NONCE), b"\xa5" * 32
    assert confirmed.kinds == [HASH] and confirmed.message_id == request.message_id
    (child,) = bench.daemon.outbound.values()
    shared, spi = peer.shared(request.body(KE)), request.chosen[0]
    assert child.keys_in.encryption + child.keys_in.authentication == peer.child_key(spi, *nonces, shared)
    assert child.keys_out.encryption + child.keys_out.authentication == peer.child_key(CHILD_SPI, *nonces, shared)


@case("IKEv1.I-n", "a wrong HASH(2): dropped without a word, and the right message is still believed", "RFC 2409 5.5")
def test_a_wrong_hash_2():
    bench, peer, request = asked_for_child()
    assert answer_quick_mode(bench, peer, request, spoil=True, keep=False) == []
    assert bench.counters == {"not_authentic": 1} and not bench.daemon.inbound
    assert len(answer_quick_mode(bench, peer, request)) == 1 and len(bench.daemon.outbound) == 1


@case("IKEv1.I-o", "message 2 again: message 3 again", "RFC 2408 5.1")
def test_a_repeated_message_2():
    bench, peer, request = asked_for_child()
    data = peer.behind_hash(QUICK, grant(peer, request), request.message_id, nonce=request.body(NONCE))
    assert bench.ask(data) == bench.ask(data) and len(bench.daemon.inbound) == 1


@case("IKEv1.I-p", "an answer with other identities, or a transform that was not offered, is refused", "RFC 2409 5.5")
@pytest.mark.parametrize(("change", "kind"), [
    (lambda rows: [*rows[:3], network("10.1.0.0/16"), rows[4]], INVALID_ID_INFORMATION),
    (lambda rows: [sa((*PHASE_2[:-1], (6, 128)), protocol=ESP, spi=CHILD_SPI), *rows[1:]], NO_PROPOSAL_CHOSEN),
    (lambda rows: [sa(PHASE_2, PHASE_2, protocol=ESP, spi=CHILD_SPI), *rows[1:]], NO_PROPOSAL_CHOSEN)],
    ids=["identities", "key length", "two transforms"])
def test_an_answer_that_is_refused(change, kind):
    bench, peer, request = asked_for_child()
    (data,) = answer_quick_mode(bench, peer, request, change(grant(peer, request)))
    message = peer.open(data)
    assert message.exchange == INFORMATIONAL and peer.is_behind_hash(message) and message.notes == [kind]
    assert not bench.daemon.inbound and bench.states == ["established"]


@case("IKEv1.I-q", "a protected error of the peer's ends the Quick Mode, one in clear does not", "RFC 2409 5.7")
@pytest.mark.parametrize("about", [lambda peer, spi: {"protocol": ESP, "spi": spi}, lambda peer, spi: {},
                                   lambda peer, spi: {"spi": peer.cookies}, lambda peer, spi: {"spi": bytes(4)}],
                         ids=["its SPI", "nothing", "the ISAKMP SA", "zeros"])
def test_an_error_in_place_of_message_2(about):
    bench, peer, request = asked_for_child()
    row = notify(NO_PROPOSAL_CHOSEN, **about(peer, request.chosen[0]))
    assert bench.give(peer.clear(INFORMATIONAL, [row], message_id=0x66)) == [] and not bench.daemon.reasons
    assert bench.give(peer.behind_hash(INFORMATIONAL, [row], 0x67)) == []
    assert "phase 2" in bench.daemon.reasons[-1].lower() or "proposal" in bench.daemon.reasons[-1]
    assert bench.states == ["established"]


@case("IKEv1.I-r", "a silent peer in Quick Mode: the reason says what to check", "RFC 2408 5.1")
def test_a_silent_quick_mode():
    bench, _peer, _request = asked_for_child()
    bench.wait(45)
    assert any("Phase 2" in reason and "route" in reason for reason in bench.daemon.reasons)


# -------------------------------------------------------------------------------------- later

@case("IKEv1.I-s", "what is closed is told by DELETEs behind a HASH: child SA, then ISAKMP SA by its cookies",
      "RFC 2408 5.15")
def test_deletes():
    bench, peer, request = asked_and_up()
    bench.manager.terminate("peer", bench.now)
    messages = [peer.open(data) for data in bench.wait(0.1)]
    assert all(row.exchange == INFORMATIONAL and peer.is_behind_hash(row) for row in messages)
    assert [row.deleted for row in messages] == [[(ESP, (request.chosen[0],))], [(ISAKMP, (peer.cookies,))]]
    assert bench.states == [] and not bench.daemon.inbound


@case("IKEv1.I-t", "no message identifier comes twice, and none is zero", "RFC 2408 3.1")
def test_message_identifiers():
    routes = tuple((f"10.1.{number}.0/24", f"10.2.{number}.0/24") for number in range(20))
    bench, peer, _request = asked_for_identity(routes=routes)
    sent = [parse(data) for data in bench.give(peer.encrypted(MAIN, peer.identity_rows()))]
    assert {row.exchange for row in sent} == {QUICK} and len(sent) == 2  # of a stranger no more is known to be taken
    for number in range(20):
        refusal = peer.behind_hash(INFORMATIONAL, [notify(NO_PROPOSAL_CHOSEN)], 0x100 + number)
        sent += [parse(data) for data in bench.give(refusal)]
    quick = [row.message_id for row in sent if row.exchange == QUICK]
    assert len(set(quick)) == len(quick) == 20 and 0 not in quick
