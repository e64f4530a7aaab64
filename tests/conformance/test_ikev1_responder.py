# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemon as responder of IKEv1: Main, Aggressive and Quick Mode, and Informational."""

from __future__ import annotations

import struct

import pytest

from tests.conformance.bench import CHILD_SPI
from tests.conformance.ikev1_bench import (
    AGGRESSIVE_GATEWAY,
    QUICK_ID,
    aggressive_rows,
    aggressively_answered,
    answered,
    begun,
    bench_of,
    keyed,
    offer,
    offered,
    scripted,
    up,
)
from tests.conformance.ikev1_peer import (
    AGGRESSIVE,
    AH,
    ARE_YOU_THERE,
    COMMIT,
    DELETE,
    ENCRYPTION,
    ESP,
    HASH,
    I_AM_HERE,
    ID,
    INFORMATIONAL,
    INITIAL_CONTACT,
    INVALID_ID_INFORMATION,
    INVALID_KEY_INFORMATION,
    ISAKMP,
    KE,
    MAIN,
    NO_PROPOSAL_CHOSEN,
    NONCE,
    PAYLOAD_MALFORMED,
    PHASE_1,
    PHASE_2,
    QUICK,
    RESPONDER_LIFETIME,
    SA,
    UNSUPPORTED_EXCHANGE_TYPE,
    VENDOR_ID,
    delete,
    identity,
    network,
    notify,
    parse,
    sa,
)
from tests.conformance.outline import case
from tests.conformance.peer import NO_SPI, Row

DES = ((1, 1), *PHASE_1[2:])


def told(bench, data, **path):
    """The only notification that comes back, in clear."""
    message = parse(bench.ask(data, **path))
    assert message.exchange == INFORMATIONAL and not message.flags
    return message.notes


# -------------------------------------------------------------------------------------- Main Mode

@case("IKEv1.R-a", "message 2: cookies, the chosen transform as it was offered, vendor ids", "RFC 2408 3.1, RFC 2409 5")
def test_message_2_of_main_mode():
    bench, peer = bench_of(starts=False), scripted(initiator=True)
    answer = parse(bench.ask(peer.clear(MAIN, [sa()])))
    assert (answer.cookie_i, answer.version, answer.exchange, answer.flags) == (peer.cookie_i, 0x10, MAIN, 0)
    assert answer.cookie_r != NO_SPI and answer.message_id == 0
    assert answer.kinds[0] == SA and set(answer.kinds[1:]) <= {VENDOR_ID}
    assert answer.body(SA) == sa().body and bench.states == ["responding"]


@case("IKEv1.R-b", "messages 4 and 6: public value, nonce, identity, and the HASH of both ends", "RFC 2409 5, 5.4")
def test_messages_4_and_6_of_main_mode():
    bench, peer = begun()
    answer = parse(bench.ask(peer.clear(MAIN, peer.key_exchange_rows())))
    assert answer.kinds == [KE, NONCE] and len(answer.body(KE)) == 256 and 8 <= len(answer.body(NONCE)) <= 256
    peer.take_key_exchange(answer)
    answer = peer.open(bench.ask(peer.encrypted(MAIN, peer.identity_rows())))
    assert answer.flags == ENCRYPTION and answer.message_id == 0 and answer.kinds[:2] == [ID, HASH]
    assert answer.body(ID)[:1] + answer.body(ID)[4:] == bytes([1, 192, 0, 2, 2])
    assert answer.body(HASH) == peer.proof(answer.body(ID), own=False) and bench.states == ["established"]


@case("IKEv1.R-c", "of several transforms the first that is declared is answered, with its number", "RFC 2409 5")
def test_several_transforms():
    bench, peer = bench_of(starts=False), scripted(initiator=True)
    answer = parse(bench.ask(peer.clear(MAIN, [sa(DES, PHASE_1, PHASE_1)])))
    assert answer.chosen == (b"", PHASE_1) and answer.body(SA)[20] == 2  # the transform's number


@case("IKEv1.R-d", "no transform in common: NO-PROPOSAL-CHOSEN, and nothing is kept", "RFC 2408 5.4")
def test_no_transform_in_common():
    bench, peer = bench_of(starts=False), scripted(initiator=True)
    assert told(bench, peer.clear(MAIN, [sa(DES)])) == [NO_PROPOSAL_CHOSEN] and bench.states == []


@case("IKEv1.R-e", "another domain of interpretation, or situation: dropped", "RFC 2407 4.2, RFC 2408 5.4")
@pytest.mark.parametrize("wrong", [{"doi": 2}, {"doi": 0}, {"situation": 2}, {"situation": 0}], ids=str)
def test_another_domain_of_interpretation(wrong):
    bench, peer = bench_of(starts=False), scripted(initiator=True)
    assert bench.give(peer.clear(MAIN, [sa(**wrong)])) == []
    assert bench.states == [] and bench.counters == {"malformed": 1}


@case("IKEv1.R-f", "a repeated message is answered by the same octets, in every step", "RFC 2408 5.1")
@pytest.mark.parametrize(("bring", "rows"), [(lambda: (bench_of(starts=False), scripted(initiator=True)),
                                              lambda _peer: [sa()]),
                                             (begun, lambda peer: peer.key_exchange_rows())], ids=["1", "3"])
def test_a_repeated_message_in_clear(bring, rows):
    bench, peer = bring()
    data = peer.clear(MAIN, rows(peer))
    assert bench.ask(data) == bench.ask(data) and bench.states == ["responding"]


@case("IKEv1.R-g", "message 5 again, after Phase 1 is over: message 6 again", "RFC 2408 5.1")
def test_a_repeated_message_5():
    bench, peer = keyed()
    data = peer.encrypted(MAIN, peer.identity_rows())
    assert bench.ask(data) == bench.ask(data) and bench.states == ["established"]


@case("IKEv1.R-h", "message 5 in clear: dropped, and the encrypted one is still believed", "RFC 2409 5.4")
def test_message_5_in_clear():
    bench, peer = keyed()
    assert bench.give(peer.clear(MAIN, peer.identity_rows())) == []
    assert bench.counters == {"not_authentic": 1} and bench.states == ["responding"]
    peer.open(bench.ask(peer.encrypted(MAIN, peer.identity_rows())))
    assert bench.states == ["established"]


@case("IKEv1.R-i", "a wrong HASH_I: not believed, said once, and the right one still is", "RFC 2409 5")
def test_a_wrong_hash_in_message_5():
    bench, peer = keyed()
    rows = peer.identity_rows()
    forged = peer.encrypted(MAIN, [rows[0], Row(HASH, bytes(32))], keep=False)
    assert len(told(bench, forged)) == 1 and bench.states == ["responding"]
    assert bench.give(forged) == [] and bench.counters == {"not_authentic": 2}
    peer.open(bench.ask(peer.encrypted(MAIN, rows)))
    assert bench.states == ["established"]


@case("IKEv1.R-j", "another pre-shared key: message 5 makes no sense, and no ISAKMP SA comes of it", "RFC 2409 5.4")
def test_another_pre_shared_key():
    bench, peer = keyed(psk="another key")
    assert told(bench, peer.encrypted(MAIN, peer.identity_rows())) == [PAYLOAD_MALFORMED]
    assert bench.states == ["responding"] and bench.wait(31) == [] and bench.states == []
    assert "pre-shared key" in bench.daemon.reasons[-1]


@case("IKEv1.R-k", "another identity than the declared one: refused", "RFC 2408 5.8")
def test_another_identity():
    bench, peer = keyed()
    own = identity("203.0.113.9")
    assert len(told(bench, peer.encrypted(MAIN, [own, Row(HASH, peer.proof(own.body))]))) == 1
    assert bench.states == [] and "203.0.113.9" in bench.daemon.reasons[-1]


@case("IKEv1.R-l", "payloads in another order are accepted, vendor ids and unknown ones are skipped", "RFC 2408 5.2")
def test_the_order_of_payloads():
    bench, peer = begun()
    rows = [Row(VENDOR_ID, b"whoever"), *reversed(peer.key_exchange_rows()), Row(77, b"what may this be")]
    peer.take_key_exchange(parse(bench.ask(peer.clear(MAIN, rows))))
    answer = peer.open(bench.ask(peer.encrypted(MAIN, peer.identity_rows()[::-1])))
    assert answer.body(HASH) == peer.proof(answer.body(ID), own=False)


@case("IKEv1.R-m", "messages under other cookies are dropped", "RFC 2408 5.2")
@pytest.mark.parametrize("wrong", [{"cookie_i": b"wrongone"}, {"cookie_r": b"wrongone"}, {"cookie_r": NO_SPI}], ids=str)
def test_other_cookies(wrong):
    bench, peer = begun()
    assert bench.give(peer.clear(MAIN, peer.key_exchange_rows(), **wrong)) == []
    assert bench.states == ["responding"] and sum(bench.counters.values()) == 1


@case("IKEv1.R-n", "a message identifier other than zero in Phase 1: dropped", "RFC 2408 3.1")
def test_a_message_identifier_in_phase_1():
    bench, peer = bench_of(starts=False), scripted(initiator=True)
    assert bench.give(peer.clear(MAIN, [sa()], message_id=1)) == [] and bench.states == []
    bench, peer = begun()
    assert bench.give(peer.clear(MAIN, peer.key_exchange_rows(), message_id=1)) == []
    assert bench.counters == {"malformed": 1} and bench.states == ["responding"]
    peer.take_key_exchange(parse(bench.ask(peer.clear(MAIN, peer.key_exchange_rows()))))


@case("IKEv1.R-o", "a payload of message 1, 3 or 5 is missing: dropped, and waited past", "RFC 2409 5")
@pytest.mark.parametrize("missing", [KE, NONCE])
def test_a_payload_is_missing(missing):
    bench, peer = begun()
    rows = [row for row in peer.key_exchange_rows() if row.kind != missing]
    assert bench.give(peer.clear(MAIN, rows)) == [] and bench.counters == {"malformed": 1}
    peer.take_key_exchange(parse(bench.ask(peer.clear(MAIN, peer.key_exchange_rows()))))


@case("IKEv1.R-p", "a public value of the wrong size is refused, a nonce of the wrong size dropped",
      "RFC 2408 5.7, 5.12")
@pytest.mark.parametrize(("size", "nonce"), [(255, 32), (257, 32), (0, 32), (256, 7), (256, 257)])
def test_values_of_the_wrong_size(size, nonce):
    bench, peer = begun()
    sent = bench.give(peer.clear(MAIN, [Row(KE, b"\x01" * size), Row(NONCE, bytes(nonce))]))
    if nonce == 32:
        assert parse(sent[0]).notes == [INVALID_KEY_INFORMATION] and bench.states == []
    else:
        assert sent == [] and bench.states == ["responding"]


@case("IKEv1.R-q", "a length that is not the message's: dropped", "RFC 2408 5.2")
@pytest.mark.parametrize("cut", [lambda data: data + b"\x00", lambda data: data[:-1], lambda data: data[:27]])
def test_a_length_that_is_not_the_message_s(cut):
    bench, peer = bench_of(starts=False), scripted(initiator=True)
    assert bench.give(cut(peer.clear(MAIN, [sa()]))) == []
    assert bench.counters == {"malformed": 1} and bench.states == []


@case("IKEv1.R-r", "the commit bit is tolerated in Phase 1 and in Quick Mode", "RFC 2408 3.1")
def test_the_commit_bit():
    bench, peer = begun()
    peer.take_key_exchange(parse(bench.ask(peer.clear(MAIN, peer.key_exchange_rows(), flags=COMMIT))))
    peer.open(bench.ask(peer.encrypted(MAIN, peer.identity_rows(), flags=COMMIT)))
    message = peer.open(bench.ask(peer.behind_hash(QUICK, offer(peer), QUICK_ID, flags=COMMIT)))
    bench.give(peer.confirmation(QUICK_ID, b"\x5a" * 32, message.body(NONCE), flags=COMMIT))
    assert len(bench.daemon.outbound) == 1


@case("IKEv1.R-s", "a longer life than ours is shortened by RESPONDER-LIFETIME in message 6", "RFC 2407 4.6.3.1")
def test_a_longer_life():
    bench, peer = bench_of(starts=False), scripted(initiator=True)
    long = (*PHASE_1[:-1], (12, 0xFFFF))
    transform = {"name": "p1", "authentication": "SHA2-256", "encryption": "AES-256", "sa_life": "1h", "key_group": 14}
    bench = bench_of(starts=False, transforms=(transform,))
    peer.sa_body = sa(long).body
    peer.cookie_r = parse(bench.ask(peer.clear(MAIN, [sa(long)]))).cookie_r
    peer.take_key_exchange(parse(bench.ask(peer.clear(MAIN, peer.key_exchange_rows()))))
    answer = peer.open(bench.ask(peer.encrypted(MAIN, peer.identity_rows())))
    assert answer.notes == [RESPONDER_LIFETIME]


# -------------------------------------------------------------------------------------- Aggressive Mode

@case("IKEv1.R-t", "message 2 of Aggressive Mode: all of it, with HASH_R; message 3 encrypted or in clear",
      "RFC 2409 5.4")
@pytest.mark.parametrize("encrypted", [True, False])
def test_aggressive_mode(encrypted):
    bench, peer, answer = aggressively_answered()
    assert answer.kinds[:5] == [SA, KE, NONCE, ID, HASH] and set(answer.kinds[5:]) <= {VENDOR_ID}
    assert answer.body(HASH) == peer.proof(answer.body(ID), own=False)
    proof = [Row(HASH, peer.proof(identity(peer.local).body))]
    assert bench.give((peer.encrypted if encrypted else peer.clear)(AGGRESSIVE, proof)) == []
    assert bench.states == ["established"]


@case("IKEv1.R-u", "a wrong HASH_I in Aggressive Mode is not believed, and the right one still is", "RFC 2409 5.4")
def test_a_wrong_hash_in_aggressive_mode():
    bench, peer, _answer = aggressively_answered()
    assert len(told(bench, peer.encrypted(AGGRESSIVE, [Row(HASH, bytes(32))], keep=False))) == 1
    assert bench.states == ["responding"]
    bench.give(peer.encrypted(AGGRESSIVE, [Row(HASH, peer.proof(identity(peer.local).body))]))
    assert bench.states == ["established"]


@case("IKEv1.R-v", "a mode that the gateway is not set up for is refused", "RFC 2408 5.2")
@pytest.mark.parametrize("mode", [MAIN, AGGRESSIVE])
def test_a_mode_that_is_not_set_up(mode):
    bench = bench_of(starts=False, **(AGGRESSIVE_GATEWAY if mode == MAIN else {}))
    peer = scripted(initiator=True)
    rows = [sa()] if mode == MAIN else aggressive_rows(peer)
    assert told(bench, peer.clear(mode, rows)) == [UNSUPPORTED_EXCHANGE_TYPE] and bench.states == []


# -------------------------------------------------------------------------------------- Quick Mode

@case("IKEv1.R-w", "Quick Mode: HASH(2), the chosen transform, nonce, public value, identities, and the keys",
      "RFC 2409 5.5")
def test_quick_mode():
    bench, peer, answer = offered()
    assert answer.message_id == QUICK_ID and answer.flags & ENCRYPTION
    assert answer.kinds == [HASH, SA, NONCE, KE, ID, ID]
    assert [row for row in answer.rows if row.kind == ID] == [network("10.2.0.0/24"), network("10.1.0.0/24")]
    spi, attributes = answer.chosen
    assert attributes == PHASE_2 and not bench.daemon.outbound
    nonces = b"\x5a" * 32, answer.body(NONCE)
    assert bench.give(peer.confirmation(QUICK_ID, *nonces)) == []
    (child,) = bench.daemon.outbound.values()
    shared = peer.shared(answer.body(KE))
    assert (child.spi_in.to_bytes(4, "big"), child.spi_out.to_bytes(4, "big")) == (spi, CHILD_SPI)
    assert child.keys_in.encryption + child.keys_in.authentication == peer.child_key(spi, *nonces, shared)
    assert child.keys_out.encryption + child.keys_out.authentication == peer.child_key(CHILD_SPI, *nonces, shared)


@case("IKEv1.R-x", "a wrong HASH(1): dropped without a word, and the right message is still answered", "RFC 2409 5.5")
def test_a_wrong_hash_1():
    bench, peer = answered()
    assert bench.give(peer.behind_hash(QUICK, offer(peer), QUICK_ID, spoil=True, keep=False)) == []
    assert bench.counters == {"not_authentic": 1} and not bench.daemon.inbound
    assert peer.open(bench.ask(peer.behind_hash(QUICK, offer(peer), QUICK_ID))).kinds[:2] == [HASH, SA]


@case("IKEv1.R-y", "a wrong HASH(3): dropped, and nothing is sent by the new SA until the right one comes",
      "RFC 2409 5.5")
def test_a_wrong_hash_3():
    bench, peer, message = offered()
    assert bench.give(peer.confirmation(QUICK_ID, b"\x5b" * 32, message.body(NONCE), keep=False)) == []
    assert bench.counters == {"not_authentic": 1} and not bench.daemon.outbound
    bench.give(peer.confirmation(QUICK_ID, b"\x5a" * 32, message.body(NONCE)))
    assert len(bench.daemon.outbound) == 1


@case("IKEv1.R-z", "Quick Mode in clear, or under message identifier zero: dropped", "RFC 2409 5.5")
def test_quick_mode_that_is_none():
    bench, peer = answered()
    assert bench.give(peer.clear(QUICK, [Row(HASH, bytes(32)), *offer(peer)], message_id=QUICK_ID)) == []
    assert bench.give(peer.behind_hash(QUICK, offer(peer), 0, keep=False)) == []
    assert sum(bench.counters.values()) == 2 and not bench.daemon.inbound


@case("IKEv1.R-aa", "Quick Mode before Phase 1 is over: dropped", "RFC 2409 5.5")
def test_quick_mode_before_phase_1_is_over():
    bench, peer = keyed()
    assert bench.give(peer.behind_hash(QUICK, offer(peer), QUICK_ID)) == []
    assert bench.counters == {"unexpected_exchange": 1} and bench.states == ["responding"]


@case("IKEv1.R-ab", "message 1 again: message 2 again; other octets under its identifier: dropped", "RFC 2408 5.1")
def test_a_repeated_quick_mode():
    bench, peer = answered()
    data = peer.behind_hash(QUICK, offer(peer), QUICK_ID)
    answer = bench.ask(data)
    assert bench.ask(data) == answer and len(bench.daemon.inbound) == 1
    message = peer.open(answer)
    bench.give(peer.confirmation(QUICK_ID, b"\x5a" * 32, message.body(NONCE)))
    peer.ivs.clear()
    assert bench.give(peer.behind_hash(QUICK, offer(peer, spi=b"\x0b\xad\xf0\x0d"), QUICK_ID)) == []
    assert len(bench.daemon.inbound) == 1


@case("IKEv1.R-ac", "a proposal or a route that is not declared: refused by a protected notification, each time",
      "RFC 2409 5.5, 5.7")
@pytest.mark.parametrize(("change", "kind"), [
    (lambda rows: [sa((*PHASE_2[:-1], (6, 128)), protocol=ESP, spi=CHILD_SPI), *rows[1:]], NO_PROPOSAL_CHOSEN),
    (lambda rows: [sa((*PHASE_2[:2], *PHASE_2[3:]), protocol=ESP, spi=CHILD_SPI), *rows[1:2], *rows[3:]],
     NO_PROPOSAL_CHOSEN),
    (lambda rows: [*rows[:3], network("10.2.0.0/16"), rows[4]], INVALID_ID_INFORMATION),
    (lambda rows: [*rows[:3], rows[4], rows[3]], INVALID_ID_INFORMATION)],
    ids=["key length", "no PFS", "wider route", "mirrored route"])
def test_a_quick_mode_that_is_refused(change, kind):
    bench, peer = answered()
    data = peer.behind_hash(QUICK, change(offer(peer)), QUICK_ID)
    refusal = bench.ask(data)
    assert bench.ask(data) == refusal
    answer = peer.open(refusal)
    assert answer.exchange == INFORMATIONAL and peer.is_behind_hash(answer) and answer.notes == [kind]
    assert answer.message_id not in (0, QUICK_ID)
    assert not bench.daemon.inbound and bench.states == ["established"]


@case("IKEv1.R-ad", "64 Quick Modes at once are all answered", "RFC 2409 5.5")
def test_many_quick_modes():
    routes = tuple((f"10.1.{number}.0/24", f"10.2.{number}.0/24") for number in range(64))
    bench, peer = answered(routes=routes)
    for number, (there, here) in enumerate(routes):
        rows = offer(peer, spi=struct.pack(">I", 0xCAFE0000 + number), here=here, there=there)
        peer.open(bench.ask(peer.behind_hash(QUICK, rows, QUICK_ID + number)))
    assert len(bench.daemon.inbound) == 64


# -------------------------------------------------------------------------------------- Informational

def inform(bench, peer, rows, message_id=0x77, **changes):
    return bench.give(peer.behind_hash(INFORMATIONAL, rows, message_id, **changes))


@case("IKEv1.R-ae", "a DELETE of a child SA is heeded, and not answered", "RFC 2408 5.15, RFC 2409 5.7")
def test_a_delete_of_a_child_sa():
    bench, peer, _message = up()
    assert inform(bench, peer, [delete(ESP, CHILD_SPI)]) == []
    assert not bench.daemon.inbound and not bench.daemon.outbound and bench.states == ["established"]


@case("IKEv1.R-af", "a DELETE of the ISAKMP SA is heeded, and not answered", "RFC 2408 5.15")
def test_a_delete_of_the_isakmp_sa():
    bench, peer, _message = up()
    assert inform(bench, peer, [delete(ISAKMP, peer.cookies)]) == [] and bench.states == []


@case("IKEv1.R-ag", "DELETEs that name nothing of ours close nothing", "RFC 2408 5.15")
@pytest.mark.parametrize("row", [delete(ESP, b"\x0b\xad\xf0\x0d"), delete(AH, CHILD_SPI), delete(ISAKMP, bytes(16))],
                         ids=["unknown SPI", "AH", "other cookies"])
def test_a_delete_of_nothing(row):
    bench, peer, _message = up()
    assert inform(bench, peer, [row]) == [] and len(bench.daemon.inbound) == 1 and bench.states == ["established"]


@case("IKEv1.R-ah", "an Informational that is not encrypted, has a wrong HASH, or came before is not heeded",
      "RFC 2409 5.7")
def test_informationals_that_are_not_heeded():
    bench, peer, _message = up()
    rows = [delete(ISAKMP, peer.cookies)]
    assert bench.give(peer.clear(INFORMATIONAL, rows, message_id=0x78)) == []
    assert inform(bench, peer, rows, spoil=True) == []
    assert bench.give(peer.encrypted(INFORMATIONAL, rows, message_id=0x79)) == []
    once = peer.behind_hash(INFORMATIONAL, [notify(INITIAL_CONTACT, spi=peer.cookies)], 0x80)
    assert bench.give(once) == [] and bench.give(once) == []
    assert bench.states == ["established"] and bench.counters == {"not_authentic": 4}


@case("IKEv1.R-ai", "a DELETE of another domain of interpretation, or malformed, closes nothing", "RFC 2408 3.15")
@pytest.mark.parametrize("row", [delete(ESP, CHILD_SPI, doi=2), Row(DELETE, b""),
                                 Row(DELETE, b"\x00\x00\x00\x01\x03\x04\x00\x05" + CHILD_SPI)],
                         ids=["another DOI", "empty", "too few SPIs"])
def test_a_delete_that_is_malformed(row):
    bench, peer, _message = up()
    assert inform(bench, peer, [row]) == []
    assert len(bench.daemon.inbound) == 1 and bench.states == ["established"] and sum(bench.counters.values()) == 1


@case("IKEv1.R-aj", "R-U-THERE is answered R-U-THERE-ACK with its number, behind a HASH", "RFC 3706 5.3")
def test_dead_peer_detection():
    bench, peer, _message = up()
    (data,) = inform(bench, peer, [notify(ARE_YOU_THERE, b"\x00\x00\x12\x34", spi=peer.cookies)])
    answer = peer.open(data)
    assert answer.exchange == INFORMATIONAL and peer.is_behind_hash(answer) and answer.notes == [I_AM_HERE]
    assert answer.rows[1].body.endswith(b"\x00\x00\x12\x34") and peer.cookies in answer.rows[1].body


@case("IKEv1.R-ak", "notifications of unknown types are ignored", "RFC 2408 3.14")
@pytest.mark.parametrize("kind", [8191, 12345, 16383, 40000, 65535])
def test_unknown_notifications(kind):
    bench, peer, _message = up()
    assert inform(bench, peer, [notify(kind, spi=peer.cookies)]) == []
    assert bench.states == ["established"] and len(bench.daemon.inbound) == 1


@case("IKEv1.R-al", "exchanges that do not exist are dropped", "RFC 2408 3.1")
@pytest.mark.parametrize("exchange", [0, 1, 3, 6, 31, 33, 240, 255])
def test_exchanges_that_are_none(exchange):
    bench, peer, _message = up()
    assert bench.give(peer.behind_hash(exchange, [delete(ISAKMP, peer.cookies)], 0x77)) == []
    assert bench.counters == {"unexpected_exchange": 1} and bench.states == ["established"]
