# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemon as responder of IKE_SA_INIT and IKE_AUTH: errors, identities, authentication, reserved fields.

Numbers that end in a letter: see docs/conformance.md.
"""

from __future__ import annotations

import pytest

from tests.conformance.bench import CHILD_SPI, HERE, THERE, Bench, answered, child_rows, half_open, scripted
from tests.conformance.outline import case
from tests.conformance.peer import (
    AUTH,
    AUTHENTICATION_FAILED,
    CHILD_SUITE,
    CREATE_CHILD_SA,
    ESP,
    IDI,
    IDR,
    IKE_AUTH,
    INFORMATIONAL,
    INVALID_IKE_SPI,
    INVALID_SYNTAX,
    KE,
    NO_SPI,
    NONCE,
    NOTIFY,
    QUICK_CRASH_DETECTION,
    SA,
    TSI,
    TSR,
    VENDOR_ID,
    Row,
    delete,
    identity,
    ke,
    nonce,
    notify,
    parse,
    proposal,
    sa,
    selectors,
)
from tests.support.virtual_network import BRANCH

# -------------------------------------------------------------------------------------- 1.1.8 errors


@case("{EN,SGW}.R.1.1.8.1", "a request with SPIs of no IKE SA: INVALID_IKE_SPI, unprotected, with the same SPIs",
      "2.21.4")
@pytest.mark.parametrize("wrong", [{"spi_r": b"wrongspi"}, {"spi_i": b"wrongspi", "spi_r": b"wrongspi"}], ids=str)
@pytest.mark.parametrize("exchange", [IKE_AUTH, CREATE_CHILD_SA, INFORMATIONAL])
def test_messages_of_no_ike_sa(exchange, wrong):
    bench, peer = answered()
    answer = parse(bench.ask(peer.seal(exchange, message_id=2, **wrong)))
    assert (answer.spi_i, answer.spi_r) == (wrong.get("spi_i", peer.spi_i), wrong["spi_r"])
    assert (answer.exchange, answer.message_id, answer.flags) == (exchange, 2, 0x20)
    assert answer.notes == [INVALID_IKE_SPI, QUICK_CRASH_DETECTION]
    assert bench.counters == {"unknown_spi": 1} and bench.states == ["established"]


@case("{EN,SGW}.R.1.1.8-z", "no answer to what bears an SPI of an IKE SA that is up, to responses, to clear text",
      "2.21.4, RFC 6290 §9.2")
@pytest.mark.parametrize("wrong", [{"spi_i": b"wrongspi"}, {"spi_r": NO_SPI}, {"spi_r": b"wrongspi", "response": True}],
                         ids=str)
@pytest.mark.parametrize("exchange", [IKE_AUTH, CREATE_CHILD_SA, INFORMATIONAL])
def test_messages_of_no_ike_sa_that_are_dropped(exchange, wrong):
    bench, peer = answered()
    assert bench.give(peer.seal(exchange, message_id=2, **wrong)) == []
    assert bench.give(peer.clear(exchange, [], message_id=2, spi_r=b"wrongspi")) == []
    assert bench.counters == {"unknown_spi": 2} and bench.states == ["established"]


@case("{EN,SGW}.R.1.1.8-a", "an integrity check value that is wrong: dropped", "2.21.3, 3.14")
@pytest.mark.parametrize("place", [-1, -16, 33, 60, 24])
def test_a_message_that_is_not_authentic(place):
    bench, peer = answered()
    assert bench.give(peer.seal(INFORMATIONAL, spoil=place)) == []
    assert sum(bench.counters.values()) == 1 and bench.states == ["established"]
    assert peer.open(bench.ask(peer.seal(INFORMATIONAL, message_id=2))).rows == ()


@case("{EN,SGW}.R.1.1.8-b", "padding of any content, and up to 255 octets of it, is accepted", "3.14")
@pytest.mark.parametrize("padding", [bytes(15), b"\xff" * 15, bytes(range(15)), bytes(255), b"\xa5" * 31],
                         ids=["zeros", "ones", "counting", "255 octets", "31 octets"])
def test_any_padding(padding):
    bench, peer = answered()
    assert peer.open(bench.ask(peer.seal(INFORMATIONAL, padding=padding))).rows == ()


@case("{EN,SGW}.R.1.1.8-c", "a pad length beyond the payload: dropped", "3.14")
@pytest.mark.parametrize("length", [16, 200, 255])
def test_a_pad_length_that_is_too_long(length):
    bench, peer = answered()
    assert bench.give(peer.seal(INFORMATIONAL, pad_length=length, message_id=2)) == []
    assert bench.counters == {"not_authentic": 1} and bench.states == ["established"]


@case("{EN,SGW}.R.1.1.8-d", "authentic octets that are no payloads: INVALID_SYNTAX, and the IKE SA is gone",
      "2.21.2, 2.21.3")
@pytest.mark.parametrize("plaintext", [b"\x00\x00\x00\x03", b"\x00\x00\x00\xff", b"\x29\x00\x00\x04", b"\x00"],
                         ids=repr)
def test_an_authentic_message_that_is_malformed(plaintext):
    bench, peer = answered()
    answer = peer.open(bench.ask(peer.seal(INFORMATIONAL, first=NOTIFY, plaintext=plaintext)))
    assert answer.kinds == [NOTIFY] and answer.notes == [INVALID_SYNTAX]
    assert bench.states == [] and not bench.daemon.inbound


@case("{EN,SGW}.R.1.1.8-e", "a message without its length in the header, or cut short: dropped", "3.1")
@pytest.mark.parametrize("cut", [lambda data: data + b"\x00", lambda data: data[:-1], lambda data: data[:27],
                                 lambda data: b""], ids=["longer", "shorter", "no header", "empty"])
def test_a_length_that_is_not_the_message_s(cut):
    bench, peer = answered()
    assert bench.give(cut(peer.seal(INFORMATIONAL))) == []
    assert bench.counters == {"malformed": 1} and bench.states == ["established"]


@case("{EN,SGW}.R.1.1.8-f", "IKE_SA_INIT without SA, KE or nonce: dropped, as INVALID_SYNTAX is for protected messages",
      "2.21.1, 3.10.1")
@pytest.mark.parametrize("missing", [SA, KE, NONCE])
def test_ike_sa_init_with_a_payload_missing(missing):
    bench, peer = Bench(starts=False), scripted(initiator=True)
    assert bench.give(peer.init_request([row for row in peer.init_rows() if row.kind != missing])) == []
    assert bench.counters == {"malformed": 1} and bench.states == []


@case("{EN,SGW}.R.1.1.8-g", "IKE_SA_INIT with two of SA, KE or nonce: dropped", "2.21.1")
@pytest.mark.parametrize("twice", [SA, KE, NONCE])
def test_ike_sa_init_with_a_payload_twice(twice):
    bench, peer = Bench(starts=False), scripted(initiator=True)
    rows = peer.init_rows()
    assert bench.give(peer.init_request(rows + [row for row in rows if row.kind == twice])) == []
    assert bench.counters == {"malformed": 1} and bench.states == []


@case("{EN,SGW}.R.1.1.8-h", "IKE_AUTH without IDi: INVALID_SYNTAX, and no IKE SA", "2.21.2")
def test_ike_auth_without_an_identity():
    bench, peer = half_open()
    rows = [row for row in peer.auth_rows(child_rows(peer)) if row.kind != IDI]
    answer = peer.open(bench.ask(peer.seal(IKE_AUTH, rows)))
    assert answer.kinds == [NOTIFY] and answer.notes == [INVALID_SYNTAX] and bench.states == []


@case("{EN,SGW}.R.1.1.8-i", "IKE_AUTH with two of what may be once: INVALID_SYNTAX, and no IKE SA", "2.21.2")
@pytest.mark.parametrize("twice", [IDI, AUTH, SA, TSI, TSR])
def test_ike_auth_with_a_payload_twice(twice):
    bench, peer = half_open()
    rows = peer.auth_rows(child_rows(peer))
    answer = peer.open(bench.ask(peer.seal(IKE_AUTH, rows + [row for row in rows if row.kind == twice])))
    assert answer.kinds == [NOTIFY] and answer.notes == [INVALID_SYNTAX] and bench.states == []


@case("{EN,SGW}.R.1.1.8-j", "IKE_AUTH with SA and without its selectors: INVALID_SYNTAX, and no IKE SA", "1.2, 2.21.2")
@pytest.mark.parametrize("missing", [TSI, TSR])
def test_ike_auth_without_selectors(missing):
    bench, peer = half_open()
    rows = [row for row in peer.auth_rows(child_rows(peer)) if row.kind != missing]
    answer = peer.open(bench.ask(peer.seal(IKE_AUTH, rows)))
    assert answer.notes == [INVALID_SYNTAX] and bench.states == [] and not bench.daemon.inbound


@case("{EN,SGW}.R.1.1.8-k", "payloads in clear before the Encrypted payload are not looked at", "3.14")
def test_payloads_in_clear_before_the_encrypted_payload():
    bench, peer = answered()
    answer = peer.open(bench.ask(peer.seal(INFORMATIONAL, before=[delete(1), notify(AUTHENTICATION_FAILED)])))
    assert answer.rows == () and bench.states == ["established"]


@case("{EN,SGW}.R.1.1.8-l", "an exchange out of its turn before IKE_AUTH: INVALID_SYNTAX, and no IKE SA",
      "1.2, 2.21.2")
@pytest.mark.parametrize("exchange", [CREATE_CHILD_SA, INFORMATIONAL, 240])
def test_another_exchange_before_ike_auth(exchange):
    bench, peer = half_open()
    answer = peer.open(bench.ask(peer.seal(exchange)))
    assert answer.exchange == exchange and answer.notes == [INVALID_SYNTAX] and bench.states == []


@case("{EN,SGW}.R.1.1.8-m", "IKE_AUTH under a message identifier other than 1: dropped", "2.2")
@pytest.mark.parametrize("message_id", [0, 2, 2**32 - 1])
def test_ike_auth_under_another_message_identifier(message_id):
    bench, peer = half_open()
    assert bench.give(peer.seal(IKE_AUTH, peer.auth_rows(child_rows(peer)), message_id=message_id)) == []
    assert bench.counters == {"unexpected_request": 1} and bench.states == ["responding"]


@case("{EN,SGW}.R.1.1.8-n", "IKE_SA_INIT with a wrong header: dropped", "2.2, 3.1")
@pytest.mark.parametrize("wrong", [{"message_id": 1}, {"spi_r": b"whatever"}, {"spi_i": NO_SPI}, {"flags": 0},
                                   {"flags": 0x28}], ids=str)
def test_ike_sa_init_with_a_wrong_header(wrong):
    bench, peer = Bench(starts=False), scripted(initiator=True)
    assert bench.give(peer.init_request(**wrong)) == []
    assert bench.states == [] and sum(bench.counters.values()) == 1


@case("{EN,SGW}.R.1.1.8-o", "a key exchange value of the wrong size: dropped", "3.4")
@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_key_exchange_value_of_the_wrong_size(size):
    bench, peer = Bench(starts=False), scripted(initiator=True)
    assert bench.give(peer.init_request([sa(), ke(bytes(size)), nonce(peer.nonce_i)])) == []
    assert bench.counters == {"malformed": 1} and bench.states == []


@case("{EN,SGW}.R.1.1.8-p", "a nonce shorter than 16 or longer than 256 octets: dropped", "2.10, 3.9")
@pytest.mark.parametrize("size", [0, 15, 257])
def test_a_nonce_of_the_wrong_size(size):
    bench, peer = Bench(starts=False), scripted(initiator=True)
    assert bench.give(peer.init_request([sa(), ke(peer.public), nonce(bytes(size))])) == []
    assert bench.counters == {"malformed": 1} and bench.states == []


# -------------------------------------------------------------------------------------- 1.1.9 identities

def authenticate(bench, peer, own, asked=None, **proof):
    rows = [own, *([asked] if asked else []), peer.proof(own, **proof), *child_rows(peer)]
    return peer.open(bench.ask(peer.seal(IKE_AUTH, rows)))


@case("{EN,SGW}.R.1.1.9-a", "ID_FQDN and ID_RFC822_ADDR identify the peer", "3.5")
@pytest.mark.parametrize(("kind", "id_type", "value"), [("domain-name", 2, "branch.example.net"),
                                                        ("domain-information", 3, "vpn@branch.example.net")])
def test_identities_by_name(kind, id_type, value):
    gateway = {"endpoints": [{"local": {"address": "192.0.2.2"},
                              "remote": {"address": BRANCH, "identifier": {"type": kind, "value": value}}}]}
    bench, peer = half_open(gateway=gateway)
    answer = authenticate(bench, peer, identity(IDI, value, id_type=id_type))
    assert answer.kinds == [IDR, AUTH, SA, TSI, TSR] and bench.states == ["established"]


@case("{EN,SGW}.R.1.1.9-b", "another identity than the declared one: AUTHENTICATION_FAILED", "2.21.2, 3.5")
@pytest.mark.parametrize(("id_type", "value"), [(1, "203.0.113.9"), (2, BRANCH), (11, "198.51.100.2"), (9, "0")])
def test_another_identity(id_type, value):
    bench, peer = half_open()
    answer = authenticate(bench, peer, identity(IDI, value, id_type=id_type))
    assert answer.kinds == [NOTIFY] and answer.notes == [AUTHENTICATION_FAILED] and bench.states == []


@case("{EN,SGW}.R.1.1.9-c", "IDr may be absent, and may be ours", "1.2")
@pytest.mark.parametrize("asked", [None, identity(IDR, "192.0.2.2")], ids=["absent", "ours"])
def test_the_identity_that_is_asked_for(asked):
    bench, peer = half_open()
    answer = authenticate(bench, peer, identity(IDI, BRANCH), asked)
    assert answer.body(IDR) == bytes([1, 0, 0, 0, 192, 0, 2, 2]) and bench.states == ["established"]


@case("{EN,SGW}.R.1.1.9-d", "an IDr that is not ours: AUTHENTICATION_FAILED", "1.2, 2.21.2")
def test_an_identity_that_is_not_ours_is_asked_for():
    bench, peer = half_open()
    answer = authenticate(bench, peer, identity(IDI, BRANCH), identity(IDR, "192.0.2.3"))
    assert answer.notes == [AUTHENTICATION_FAILED] and bench.states == []


# -------------------------------------------------------------------------------------- 1.1.10 authentication

@case("{EN,SGW}.R.1.2.8.1", "another pre-shared key: AUTHENTICATION_FAILED, given again on retransmission",
      "2.15, 2.21.2")
def test_another_pre_shared_key():
    bench, peer = half_open()
    own = identity(IDI, BRANCH)
    request = peer.seal(IKE_AUTH, [own, peer.proof(own, psk=b"another"), *child_rows(peer)])
    data = bench.ask(request)
    answer = peer.open(data)
    assert answer.kinds == [NOTIFY] and answer.notes == [AUTHENTICATION_FAILED] and bench.states == []
    assert bench.ask(request) == data


@case("{EN,SGW}.R.1.2.8.1", "another authentication method: AUTHENTICATION_FAILED", "2.15, 3.8")
@pytest.mark.parametrize("method", [0, 1, 3, 9, 13, 14, 201])
def test_another_authentication_method(method):
    bench, peer = half_open()
    own = identity(IDI, BRANCH)
    answer = authenticate(bench, peer, own, method=method)
    assert answer.kinds == [NOTIFY] and answer.notes == [AUTHENTICATION_FAILED] and bench.states == []


@case("{EN,SGW}.R.1.2.8-b", "IKE_AUTH without AUTH asks for EAP: AUTHENTICATION_FAILED", "2.16, 2.21.2")
def test_a_peer_that_wants_eap():
    bench, peer = half_open()
    rows = [row for row in peer.auth_rows(child_rows(peer)) if row.kind != AUTH]
    answer = peer.open(bench.ask(peer.seal(IKE_AUTH, rows)))
    assert answer.kinds == [NOTIFY] and answer.notes == [AUTHENTICATION_FAILED] and bench.states == []
    assert "EAP" in bench.daemon.reasons[-1]


@case("{EN,SGW}.R.1.1.10-a", "AUTH covers the IKE_SA_INIT request as it was, and IDi with its RESERVED octets", "2.15")
def test_what_auth_covers():
    bench, peer = half_open()
    answer = authenticate(bench, peer, identity(IDI, BRANCH, reserved=b"\x01\x02\x03"))
    assert answer.kinds == [IDR, AUTH, SA, TSI, TSR]
    bench, peer = half_open()
    peer.init_request_octets += b"\x00"
    assert authenticate(bench, peer, identity(IDI, BRANCH)).notes == [AUTHENTICATION_FAILED]


@case("{EN,SGW}.R.1.1.10-b", "IKE_AUTH without a child SA brings up the IKE SA alone", "RFC 6023 3")
def test_ike_auth_without_a_child_sa():
    bench, peer = half_open()
    answer = peer.open(bench.ask(peer.seal(IKE_AUTH, peer.auth_rows([]))))
    assert answer.kinds == [IDR, AUTH] and bench.states == ["established"] and not bench.daemon.inbound


# -------------------------------------------------------------------------------------- 1.1.11 reserved, notifications

@case("{EN,SGW}.R.1.1.11-a", "RESERVED fields of the IKE_SA_INIT request are ignored", "2.5, 3.1-3.4")
def test_reserved_fields_in_ike_sa_init():
    bench, peer = Bench(starts=False), scripted(initiator=True)
    rows = [Row(row.kind, row.body, reserved=0x7F) for row in
            (sa(proposal(reserved=0xFF)), ke(peer.public, reserved=0xFFFF), nonce(peer.nonce_i))]
    peer.take_init_response(bench.ask(peer.init_request(rows, extra_flags=0xC7)))
    assert bench.states == ["responding"]


@case("{EN,SGW}.R.1.1.11-b", "RESERVED fields of the IKE_AUTH request are ignored", "2.5, 3.5, 3.8, 3.13")
def test_reserved_fields_in_ike_auth():
    bench, peer = half_open()
    own = identity(IDI, BRANCH, reserved=b"\xff\xff\xff")
    proof = peer.proof(own)
    rows = [own, Row(AUTH, proof.body[:1] + b"\xff\xff\xff" + proof.body[4:]),
            sa(proposal(CHILD_SUITE, protocol=ESP, spi=CHILD_SPI, reserved=0xFF)),
            selectors(TSI, HERE, reserved=0xFF), selectors(TSR, THERE, reserved=0xFF)]
    data = peer.seal(IKE_AUTH, [Row(row.kind, row.body, reserved=0x7F) for row in rows], reserved=0x7F,
                     extra_flags=0xC7)
    assert peer.open(bench.ask(data)).kinds == [IDR, AUTH, SA, TSI, TSR]


@case("{EN,SGW}.R.1.1.11-c", "the version flag is ignored", "3.1")
def test_the_version_flag():
    bench, peer = Bench(starts=False), scripted(initiator=True)
    answer = peer.take_init_response(bench.ask(peer.init_request(extra_flags=0x10)))
    assert answer.flags == 0x20
    answer = peer.open(bench.ask(peer.seal(IKE_AUTH, peer.auth_rows(child_rows(peer)), extra_flags=0x10)))
    assert answer.flags == 0x20 and bench.states == ["established"]


@case("{EN,SGW}.R.1.1.11.5", "notifications of unknown types in requests are ignored, errors and status alike",
      "3.10.1")
@pytest.mark.parametrize("kind", [16383, 8192, 40959, 65535])
def test_unknown_notifications(kind):
    bench, peer = Bench(starts=False), scripted(initiator=True)
    odd = notify(kind, b"whatever")
    peer.take_init_response(bench.ask(peer.init_request([*peer.init_rows(), odd])))
    answer = peer.open(bench.ask(peer.seal(IKE_AUTH, [*peer.auth_rows(child_rows(peer)), odd])))
    assert answer.kinds == [IDR, AUTH, SA, TSI, TSR]
    assert peer.open(bench.ask(peer.seal(INFORMATIONAL, [odd]))).rows == ()


@case("{EN,SGW}.R.1.1.11-d", "vendor ids are ignored, however many", "3.12")
def test_vendor_ids():
    bench, peer = Bench(starts=False), scripted(initiator=True)
    rows = [*peer.init_rows(), *(Row(VENDOR_ID, bytes([number]) * 16) for number in range(20))]
    assert parse(bench.ask(peer.init_request(rows))).kinds[:3] == [SA, KE, NONCE]
