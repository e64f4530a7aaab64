# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemon as responder of IKE_SA_INIT and IKE_AUTH. Numbers that end in a letter: see docs/conformance.md."""

from __future__ import annotations

import struct

import pytest
from ikeengine.ike.context import Settings

from tests.conformance.bench import CHILD_SPI, THERE, Bench, answered, child_rows, half_open, scripted
from tests.conformance.outline import case
from tests.conformance.peer import (
    AUTH,
    AUTHENTICATION_FAILED,
    CHILD_SUITE,
    COOKIE,
    CREATE_CHILD_SA,
    DH,
    ENCR,
    ESN,
    ESP,
    IDR,
    IKE_AUTH,
    IKE_SA_INIT,
    INFORMATIONAL,
    INITIAL_CONTACT,
    INTEG,
    INVALID_IKE_SPI,
    INVALID_KE_PAYLOAD,
    INVALID_MAJOR_VERSION,
    KE,
    NAT_DESTINATION,
    NAT_SOURCE,
    NO_PROPOSAL_CHOSEN,
    NO_SPI,
    NONCE,
    NOTIFY,
    PRF,
    QUICK_CRASH_DETECTION,
    SA,
    SUITE,
    TS_UNACCEPTABLE,
    TSI,
    TSR,
    UNSUPPORTED_CRITICAL_PAYLOAD,
    VENDOR_ID,
    X25519,
    Row,
    chain,
    delete,
    ke,
    nonce,
    notify,
    parse,
    proposal,
    sa,
    selectors,
)
from tests.support.virtual_network import BRANCH, TRANSFORM

UNKNOWN_TYPES = (1, 32, 49, 255)
COOKIES_AT_ONCE = {"settings": Settings(cookie_threshold=0)}


# -------------------------------------------------------------------------------------- 1.1.1 headers and payloads

@case("{EN,SGW}.R.1.1.1-a", "every field of the IKE_SA_INIT response", "1.2, 3.1-3.4, 3.9")
def test_the_ike_sa_init_response():
    bench, peer = Bench(starts=False), scripted(initiator=True)
    answer = parse(bench.ask(peer.init_request()))
    assert (answer.spi_i, answer.exchange, answer.version) == (peer.spi_i, IKE_SA_INIT, 0x20)
    assert answer.spi_r != NO_SPI and answer.flags == 0x20 and answer.message_id == 0
    assert answer.kinds[:3] == [SA, KE, NONCE] and set(answer.kinds[3:]) == {NOTIFY}
    assert answer.proposals == [(1, 1, b"", list(SUITE))]
    assert struct.unpack_from(">HH", answer.body(KE)) == (X25519, 0) and len(answer.body(KE)) == 4 + 32
    assert 16 <= len(answer.body(NONCE)) <= 256
    assert {NAT_SOURCE, NAT_DESTINATION} <= set(answer.notes)
    assert all((row.protocol, row.spi) == (0, b"") for row in answer.notifications)
    assert bench.states == ["responding"]


@case("{EN,SGW}.R.1.1.1-b", "every field of the IKE_AUTH response", "1.2, 2.15, 3.5, 3.8, 3.13, 3.14")
def test_the_ike_auth_response():
    bench, peer = half_open()
    data = bench.ask(peer.seal(IKE_AUTH, peer.auth_rows(child_rows(peer))))
    answer = peer.open(data)
    assert (answer.spi_i, answer.spi_r, answer.exchange, answer.version) == (peer.spi_i, peer.spi_r, IKE_AUTH, 0x20)
    assert answer.flags == 0x20 and answer.message_id == 1 and answer.encrypted
    assert answer.kinds == [IDR, AUTH, SA, TSI, TSR]
    assert answer.body(IDR) == bytes([1, 0, 0, 0, 192, 0, 2, 2]) and answer.body(AUTH)[0] == 2
    assert peer.proves_itself(answer)
    ((number, protocol, spi, transforms),) = answer.proposals
    assert (number, protocol, transforms) == (1, ESP, list(CHILD_SUITE))
    assert list(bench.daemon.inbound) == [int.from_bytes(spi, "big")]
    assert answer.ranges(TSI) == ["10.2.0.0-10.2.0.255"] and answer.ranges(TSR) == ["10.1.0.0-10.1.0.255"]


@case("{EN,SGW}.R.1.1.1-c", "the child SA's keys and SPIs are those that RFC 7296 derives", "2.17")
def test_the_keys_of_the_first_child_sa():
    bench, peer = answered()
    (child,) = bench.daemon.inbound.values()
    keys_i, keys_r = peer.child_keys(peer.nonce_i, peer.nonce_r)
    assert (child.keys_in.encryption, child.keys_out.encryption) == (keys_i, keys_r)
    assert child.spi_out == int.from_bytes(CHILD_SPI, "big")
    assert list(bench.daemon.outbound) == [child.spi_out]


# -------------------------------------------------------------------------------------- 1.1.2 retransmission

@case("{EN,SGW}.R.1.1.2.1", "the same response again, octet for octet, and none unasked", "2.1")
def test_a_retransmitted_ike_sa_init_request():
    bench, peer = Bench(starts=False), scripted(initiator=True)
    request = peer.init_request()
    answer = bench.ask(request)
    assert bench.wait(20) == []
    assert bench.ask(request) == answer and bench.states == ["responding"]


@case("{EN,SGW}.R.1.1.2.2", "the same response again, octet for octet, and one child SA", "2.1")
def test_a_retransmitted_ike_auth_request():
    bench, peer = half_open()
    request = peer.seal(IKE_AUTH, peer.auth_rows(child_rows(peer)))
    answer = bench.ask(request)
    assert bench.wait(5) == []
    assert bench.ask(request) == answer
    assert bench.states == ["established"] and len(bench.daemon.inbound) == 1


@case("{EN,SGW}.R.1.1.2-a", "another request under a message identifier that was answered is dropped", "2.1, 2.2")
def test_another_request_under_an_old_message_identifier():
    bench, peer = answered()
    assert bench.give(peer.seal(INFORMATIONAL, message_id=1)) == []
    assert bench.counters == {"unexpected_request": 1} and bench.states == ["established"]


@case("{EN,SGW}.R.1.1.2-b", "another IKE_SA_INIT request under the same SPI is dropped while the first is half open",
      "2.1")
def test_another_ike_sa_init_request_under_the_same_spi():
    bench, peer = Bench(starts=False), scripted(initiator=True)
    bench.ask(peer.init_request())
    assert bench.give(peer.init_request([sa(), ke(peer.public), nonce(bytes(32))])) == []
    assert bench.states == ["responding"] and bench.counters == {"unexpected_request": 1}


# -------------------------------------------------------------------------------------- 1.1.3 state and timeouts

@case("{EN,SGW}.R.1.1.3.4", "an empty INFORMATIONAL request is answered by an empty response", "1.4, 2.4")
def test_a_liveness_check():
    bench, peer = answered()
    answer = peer.open(bench.ask(peer.seal(INFORMATIONAL)))
    assert (answer.exchange, answer.message_id, answer.flags, answer.rows) == (INFORMATIONAL, 2, 0x20, ())


@case("{EN,SGW}.R.1.1.3-a", "INITIAL_CONTACT ends what was up before with that peer, without a DELETE", "2.4")
def test_initial_contact():
    bench, _old = answered()
    bench.wait(10)
    peer = scripted(initiator=True, seed=2)
    peer.take_init_response(bench.ask(peer.init_request()))
    rows = peer.auth_rows(child_rows(peer, b"\xca\xfe\x00\x02"))
    bench.ask(peer.seal(IKE_AUTH, [rows[0], notify(INITIAL_CONTACT), *rows[1:]]))
    assert bench.states == ["established"]
    assert list(bench.daemon.outbound) == [0xCAFE0002]


@case("{EN,SGW}.R.1.1.3-b", "DELETE of the IKE SA: an empty response, then nothing is left", "1.4.1")
def test_a_delete_of_the_ike_sa():
    bench, peer = answered()
    answer = peer.open(bench.ask(peer.seal(INFORMATIONAL, [delete(1)])))
    assert answer.rows == () and bench.states == [] and not bench.daemon.inbound and not bench.daemon.outbound


@case("{EN,SGW}.R.1.1.3-c", "the DELETE's answer is given again after the IKE SA has gone", "2.1")
def test_a_retransmitted_delete_of_the_ike_sa():
    bench, peer = answered()
    request = peer.seal(INFORMATIONAL, [delete(1)])
    assert bench.ask(request) == bench.ask(request)


@case("{EN,SGW}.R.1.1.3-d", "an unprotected message neither closes nor answers", "2.4")
@pytest.mark.parametrize("rows", [[], [delete(1)], [notify(AUTHENTICATION_FAILED)], [notify(INITIAL_CONTACT)]])
def test_unprotected_messages_within_an_ike_sa(rows):
    bench, peer = answered()
    assert bench.give(peer.clear(INFORMATIONAL, rows, message_id=2)) == []
    assert bench.counters == {"not_authentic": 1} and bench.states == ["established"]


@case("{EN,SGW}.R.1.1.3-h", "a peer that gives a token for quick crash detection gets one: the one that it hears later",
      "RFC 6290 §4.2, §4.5")
def test_tokens_of_quick_crash_detection():
    bench, peer = half_open()
    rows = [*peer.auth_rows(child_rows(peer)), notify(QUICK_CRASH_DETECTION, bytes(16))]
    answer = peer.open(bench.ask(peer.seal(IKE_AUTH, rows)))
    token = answer.note(QUICK_CRASH_DETECTION).data
    again = Bench(starts=False)  # it has started anew
    unknown = parse(again.ask(peer.seal(INFORMATIONAL)))
    assert unknown.notes == [INVALID_IKE_SPI, QUICK_CRASH_DETECTION]
    assert unknown.note(QUICK_CRASH_DETECTION).data == token and len(token) == 32


@case("{EN,SGW}.R.1.1.3-e", "an initiator that goes no further is forgotten, in silence", "2.1, 2.4")
def test_half_open_ike_sas_expire():
    bench, _peer = half_open()
    assert bench.wait(29) == [] and bench.states == ["responding"]
    assert bench.wait(2) == [] and bench.states == []


# -------------------------------------------------------------------------------------- 1.1.4 versions, critical bit

@case("{EN,SGW}.R.1.1.4.1", "a higher minor version is served, as version 2.0", "2.5")
def test_a_higher_minor_version():
    bench, peer = Bench(starts=False), scripted(initiator=True)
    answer = peer.take_init_response(bench.ask(peer.init_request(version=0x21)))
    assert answer.version == 0x20
    answer = peer.open(bench.ask(peer.seal(IKE_AUTH, peer.auth_rows(child_rows(peer)), version=0x21)))
    assert peer.proves_itself(answer) and bench.states == ["established"]


@case("{EN,SGW}.R.1.1.4.2", "a higher major version is answered INVALID_MAJOR_VERSION, in clear, and changes nothing",
      "2.5, 3.10.1")
def test_a_higher_major_version():
    bench, peer = answered()
    answer = parse(bench.ask(peer.seal(INFORMATIONAL, version=0x30, message_id=2)))
    assert answer.version == 0x20 and answer.is_response and answer.message_id == 2 and not answer.encrypted
    assert (answer.spi_i, answer.spi_r) == (peer.spi_i, peer.spi_r)
    assert answer.notes == [INVALID_MAJOR_VERSION]
    assert bench.states == ["established"]
    assert peer.open(bench.ask(peer.seal(INFORMATIONAL))).rows == ()


@case("{EN,SGW}.R.1.1.4-a", "a response of a higher major version is not answered", "2.5, 2.21.4")
def test_a_response_of_a_higher_major_version():
    bench, peer = answered()
    assert bench.give(peer.seal(INFORMATIONAL, version=0x30, message_id=2, response=True)) == []
    assert bench.give(peer.clear(IKE_SA_INIT, [], version=0x30, response=True)) == []


@case("{EN,SGW}.R.1.1.4-b", "IKE_SA_INIT of a higher major version is answered INVALID_MAJOR_VERSION", "2.5")
def test_a_first_message_of_a_higher_major_version():
    bench, peer = Bench(starts=False), scripted(initiator=True)
    answer = parse(bench.ask(peer.init_request(version=0x30)))
    assert answer.notes == [INVALID_MAJOR_VERSION] and bench.states == []


@case("{EN,SGW}.R.1.1.4-c", "unknown payloads without the critical bit are skipped in IKE_SA_INIT and IKE_AUTH", "2.5")
@pytest.mark.parametrize("kind", UNKNOWN_TYPES)
def test_unknown_payloads_that_are_not_critical(kind):
    bench, peer = Bench(starts=False), scripted(initiator=True)
    unknown = Row(kind, b"what may this be")
    answer = peer.take_init_response(bench.ask(peer.init_request([unknown, *peer.init_rows(), unknown])))
    assert answer.kinds[:3] == [SA, KE, NONCE]
    rows = peer.auth_rows(child_rows(peer))
    answer = peer.open(bench.ask(peer.seal(IKE_AUTH, [rows[0], unknown, *rows[1:], unknown])))
    assert answer.kinds == [IDR, AUTH, SA, TSI, TSR]


@case("{EN,SGW}.R.1.1.4.4", "an unknown critical payload in IKE_SA_INIT: UNSUPPORTED_CRITICAL_PAYLOAD with its type",
      "2.5")
@pytest.mark.parametrize("kind", UNKNOWN_TYPES)
def test_an_unknown_critical_payload_in_ike_sa_init(kind):
    bench, peer = Bench(starts=False), scripted(initiator=True)
    answer = parse(bench.ask(peer.init_request([*peer.init_rows(), Row(kind, critical=True)])))
    assert answer.note(UNSUPPORTED_CRITICAL_PAYLOAD).data == bytes([kind])
    assert answer.spi_r == NO_SPI and bench.states == []


@case("{EN,SGW}.R.1.1.4.4", "an unknown critical payload in IKE_AUTH: UNSUPPORTED_CRITICAL_PAYLOAD, and no IKE SA",
      "2.5, 2.21.2")
@pytest.mark.parametrize("kind", UNKNOWN_TYPES)
def test_an_unknown_critical_payload_in_ike_auth(kind):
    bench, peer = half_open()
    answer = peer.open(bench.ask(peer.seal(IKE_AUTH, [*peer.auth_rows(child_rows(peer)), Row(kind, critical=True)])))
    assert answer.kinds == [NOTIFY] and answer.note(UNSUPPORTED_CRITICAL_PAYLOAD).data == bytes([kind])
    assert bench.states == [] and not bench.daemon.inbound


@case("{EN,SGW}.R.1.1.4.4", "an unknown critical payload in CREATE_CHILD_SA: refused, and the IKE SA serves on", "2.5")
@pytest.mark.parametrize("kind", UNKNOWN_TYPES)
def test_an_unknown_critical_payload_in_create_child_sa(kind):
    bench, peer = answered()
    answer = peer.open(bench.ask(peer.seal(CREATE_CHILD_SA, [Row(kind, critical=True), nonce(bytes(32))])))
    assert answer.kinds == [NOTIFY] and answer.note(UNSUPPORTED_CRITICAL_PAYLOAD).data == bytes([kind])
    assert bench.states == ["established"]
    assert peer.open(bench.ask(peer.seal(INFORMATIONAL))).rows == ()


@case("{EN,SGW}.R.1.1.4-d", "the critical bit of a payload type that is known means nothing", "2.5, 3.2")
def test_the_critical_bit_of_known_payloads():
    bench, peer = Bench(starts=False), scripted(initiator=True)
    rows = [Row(row.kind, row.body, critical=True) for row in peer.init_rows()]
    peer.take_init_response(bench.ask(peer.init_request(rows)))
    rows = [Row(row.kind, row.body, critical=True) for row in peer.auth_rows(child_rows(peer))]
    answer = peer.open(bench.ask(peer.seal(IKE_AUTH, rows, critical=True)))
    assert answer.kinds == [IDR, AUTH, SA, TSI, TSR] and not any(row.critical for row in answer.rows)


@case("{EN,SGW}.R.1.1.4.5", "payloads in another order are accepted, as RFC 7296 has it and RFC 4306 did not", "2.5")
def test_payloads_in_another_order():
    bench, peer = Bench(starts=False), scripted(initiator=True)
    peer.take_init_response(bench.ask(peer.init_request(peer.init_rows()[::-1])))
    answer = peer.open(bench.ask(peer.seal(IKE_AUTH, peer.auth_rows(child_rows(peer))[::-1])))
    assert answer.kinds == [IDR, AUTH, SA, TSI, TSR] and bench.states == ["established"]


# -------------------------------------------------------------------------------------- 1.1.5 cookies

def ask_for_cookie(bench, peer, rows=None, **path):
    answer = parse(bench.ask(peer.init_request(rows), **path))
    return answer.note(COOKIE).data


@case("{EN,SGW}.R.1.1.5-a", "a cookie is demanded, and nothing is kept", "2.6")
def test_a_cookie_is_demanded():
    bench, peer = Bench(starts=False, network=COOKIES_AT_ONCE), scripted(initiator=True)
    answer = parse(bench.ask(peer.init_request()))
    assert (answer.spi_i, answer.spi_r, answer.message_id, answer.flags) == (peer.spi_i, NO_SPI, 0, 0x20)
    assert answer.kinds == [NOTIFY] and 1 <= len(answer.note(COOKIE).data) <= 64
    assert bench.states == [] and bench.counters == {"cookie_demanded": 1}


@case("{EN,SGW}.R.1.1.5-b", "the request with its cookie is served, and AUTH covers it", "2.6, 2.15")
def test_a_good_cookie():
    bench, peer = Bench(starts=False, network=COOKIES_AT_ONCE), scripted(initiator=True)
    cookie = ask_for_cookie(bench, peer)
    peer.take_init_response(bench.ask(peer.init_request([notify(COOKIE, cookie), *peer.init_rows()])))
    answer = peer.open(bench.ask(peer.seal(IKE_AUTH, peer.auth_rows(child_rows(peer)))))
    assert peer.proves_itself(answer) and bench.states == ["established"]


@case("{EN,SGW}.R.1.1.5-c", "a wrong cookie is as good as none", "2.6")
@pytest.mark.parametrize("cookie", [b"\x00", bytes(32), bytes(64), bytes(100)], ids=len)
def test_a_wrong_cookie(cookie):
    bench, peer = Bench(starts=False, network=COOKIES_AT_ONCE), scripted(initiator=True)
    ask_for_cookie(bench, peer, [notify(COOKIE, cookie), *peer.init_rows()])
    assert bench.states == []


@case("{EN,SGW}.R.1.1.5-d", "a cookie is good for one address, one SPI and one nonce", "2.6")
def test_what_a_cookie_is_bound_to():
    bench, peer = Bench(starts=False, network=COOKIES_AT_ONCE), scripted(initiator=True)
    rows = [notify(COOKIE, ask_for_cookie(bench, peer)), *peer.init_rows()]
    ask_for_cookie(bench, peer, rows, source_port=501)
    ask_for_cookie(bench, scripted(initiator=True, seed=2), rows)
    ask_for_cookie(bench, peer, [*rows[:3], nonce(bytes(32))])
    assert bench.states == []


@case("{EN,SGW}.R.1.1.5-e", "a cookie outlives one change of the secret and not the next", "2.6")
def test_cookies_expire():
    bench, peer = Bench(starts=False, network=COOKIES_AT_ONCE), scripted(initiator=True)
    rows = [notify(COOKIE, ask_for_cookie(bench, peer)), *peer.init_rows()]
    bench.wait(61)
    ask_for_cookie(bench, scripted(initiator=True, seed=2))
    answer = parse(bench.ask(peer.init_request(rows)))
    assert answer.kinds[0] == SA
    bench.wait(61)
    ask_for_cookie(bench, scripted(initiator=True, seed=3))
    ask_for_cookie(bench, peer, rows)


@case("{EN,SGW}.R.1.1.5-f", "COOKIE, then INVALID_KE_PAYLOAD, then the IKE SA, with one cookie", "2.6.1")
def test_cookie_and_another_group():
    bench = Bench(starts=False, network=COOKIES_AT_ONCE,
                  transforms=(TRANSFORM, {**TRANSFORM, "name": "p1b", "key_group": 14}))
    peer = scripted(initiator=True)
    offers = sa(proposal((*SUITE[:3], (DH, 14, None), (DH, X25519, None))))
    wrong = [offers, ke(bytes(256), 14), nonce(peer.nonce_i)]
    cookie = notify(COOKIE, ask_for_cookie(bench, peer, wrong))
    answer = parse(bench.ask(peer.init_request([cookie, *wrong])))
    assert answer.note(INVALID_KE_PAYLOAD).data == struct.pack(">H", X25519)
    peer.take_init_response(bench.ask(peer.init_request([cookie, offers, *peer.init_rows()[1:]])))
    assert bench.states == ["responding"]


# -------------------------------------------------------------------------------------- 1.1.6 algorithms

@case("{EN,SGW}.R.1.1.6-a", "each suite that is declared is chosen when it is offered", "2.7, 3.3")
@pytest.mark.parametrize(("declared", "suite"), [
    ({"encryption": "AES-128"}, ((ENCR, 12, 128), (PRF, 5, None), (INTEG, 12, None), (DH, X25519, None))),
    ({"encryption": "AES-192"}, ((ENCR, 12, 192), (PRF, 5, None), (INTEG, 12, None), (DH, X25519, None))),
    ({"authentication": "SHA1"}, ((ENCR, 12, 256), (PRF, 2, None), (INTEG, 2, None), (DH, X25519, None))),
    ({"authentication": "SHA2-384"}, ((ENCR, 12, 256), (PRF, 6, None), (INTEG, 13, None), (DH, X25519, None))),
    ({"authentication": "SHA2-512"}, ((ENCR, 12, 256), (PRF, 7, None), (INTEG, 14, None), (DH, X25519, None))),
    ({"encryption": "AES-GCM-256"}, ((ENCR, 20, 256), (PRF, 5, None), (DH, X25519, None)))])
def test_each_suite(declared, suite):
    bench, peer = Bench(starts=False, transforms=({**TRANSFORM, **declared},)), scripted(initiator=True)
    rows = [sa(proposal(suite)), *peer.init_rows()[1:]]
    assert parse(bench.ask(peer.init_request(rows))).proposals == [(1, 1, b"", list(suite))]


@case("{EN,SGW}.R.1.1.6-b", "of many transforms in one proposal one of each type is answered", "2.7, 3.3")
def test_many_transforms_in_one_proposal():
    bench, peer = Bench(starts=False), scripted(initiator=True)
    many = ((ENCR, 3, None), (ENCR, 12, 128), (ENCR, 12, 256), (PRF, 2, None), (PRF, 5, None), (INTEG, 2, None),
            (INTEG, 12, None), (DH, 14, None), (DH, X25519, None))
    answer = parse(bench.ask(peer.init_request([sa(proposal(many)), *peer.init_rows()[1:]])))
    assert answer.proposals == [(1, 1, b"", list(SUITE))]


@case("{EN,SGW}.R.1.1.6-c", "of many proposals the number of the chosen one is answered", "2.7, 3.3.1")
def test_many_proposals():
    bench, peer = Bench(starts=False), scripted(initiator=True)
    weak = proposal(((ENCR, 3, None), *SUITE[1:]), last=False)
    offers = sa(weak, proposal(number=2, last=False), proposal(number=3))
    answer = parse(bench.ask(peer.init_request([offers, *peer.init_rows()[1:]])))
    assert answer.proposals == [(2, 1, b"", list(SUITE))]


@case("{EN,SGW}.R.1.1.6-d", "no suite in common: NO_PROPOSAL_CHOSEN, in clear, and nothing is kept", "2.7, 2.21.1")
def test_no_suite_in_common():
    bench, peer = Bench(starts=False), scripted(initiator=True)
    offers = sa(proposal(((ENCR, 3, None), *SUITE[1:])))
    answer = parse(bench.ask(peer.init_request([offers, *peer.init_rows()[1:]])))
    assert answer.kinds == [NOTIFY] and answer.notes == [NO_PROPOSAL_CHOSEN]
    assert answer.spi_r == NO_SPI and bench.states == []


@case("{EN,SGW}.R.1.1.6-e", "transforms of unknown types, identifiers and attributes are not chosen, others are",
      "3.3.6")
def test_unknown_transforms():
    bench, peer = Bench(starts=False), scripted(initiator=True)
    odd = proposal((*SUITE, (250, 1, None)), last=False)
    unknown = proposal(((ENCR, 65000, 256), *SUITE), number=2, last=False)
    answer = parse(bench.ask(peer.init_request([sa(odd, unknown, proposal(number=3)), *peer.init_rows()[1:]])))
    assert answer.proposals == [(2, 1, b"", list(SUITE))]


@case("{EN,SGW}.R.1.1.6.7", "a key exchange of another group than the one chosen: INVALID_KE_PAYLOAD with its number",
      "1.2, 2.7")
def test_a_key_exchange_of_another_group():
    bench, peer = Bench(starts=False), scripted(initiator=True)
    offers = sa(proposal((*SUITE[:3], (DH, 14, None), (DH, X25519, None))))
    answer = parse(bench.ask(peer.init_request([offers, ke(bytes(256), 14), nonce(peer.nonce_i)])))
    assert answer.kinds == [NOTIFY] and answer.note(INVALID_KE_PAYLOAD).data == struct.pack(">H", X25519)
    assert answer.spi_r == NO_SPI and bench.states == []
    peer.take_init_response(bench.ask(peer.init_request([offers, *peer.init_rows()[1:]])))


@case("{EN,SGW}.R.1.1.6-f", "a first child SA without a proposal in common: the IKE SA stands without it",
      "1.2, 2.21.2")
def test_no_child_proposal_in_common():
    bench, peer = half_open()
    offers = sa(proposal(((ENCR, 20, 256), (ESN, 0, None)), protocol=ESP, spi=CHILD_SPI))
    answer = peer.open(bench.ask(peer.seal(IKE_AUTH, peer.auth_rows([offers, *child_rows(peer)[1:]]))))
    assert answer.kinds == [IDR, AUTH, NOTIFY] and answer.notes == [NO_PROPOSAL_CHOSEN]
    assert bench.states == ["established"] and not bench.daemon.inbound


@case("{EN,SGW}.R.1.1.6-g", "a first child SA out of several proposals, with the SPI of the chosen one", "2.7, 3.3.1")
def test_many_child_proposals():
    bench, peer = half_open()
    offers = sa(proposal(((ENCR, 20, 256), (ESN, 0, None)), protocol=ESP, spi=b"\xca\xfe\x00\x02", last=False),
                proposal(CHILD_SUITE, number=2, protocol=ESP, spi=CHILD_SPI))
    answer = peer.open(bench.ask(peer.seal(IKE_AUTH, peer.auth_rows([offers, *child_rows(peer)[1:]]))))
    assert [row[0] for row in answer.proposals] == [2] and list(bench.daemon.outbound) == [0xCAFE0001]


# -------------------------------------------------------------------------------------- 1.1.7 traffic selectors

@case("{EN,SGW}.R.1.1.7-a", "selectors that contain the declared route are narrowed to it", "2.9")
@pytest.mark.parametrize("wide", [("10.2.0.0/16", "10.1.0.0/16"), ("0.0.0.0/0", "0.0.0.0/0")])
def test_wide_selectors_are_narrowed(wide):
    bench, peer = half_open()
    answer = peer.open(bench.ask(peer.seal(IKE_AUTH, peer.auth_rows(peer.child_rows(CHILD_SPI, *wide)))))
    assert answer.ranges(TSI) == ["10.2.0.0-10.2.0.255"] and answer.ranges(TSR) == ["10.1.0.0-10.1.0.255"]


@case("{EN,SGW}.R.1.1.7-b", "selectors within the declared route are accepted as they are", "2.9")
def test_narrow_selectors():
    bench, peer = half_open()
    rows = peer.child_rows(CHILD_SPI, "10.2.0.8/29", "10.1.0.9/32")
    answer = peer.open(bench.ask(peer.seal(IKE_AUTH, peer.auth_rows(rows))))
    assert answer.ranges(TSI) == ["10.2.0.8-10.2.0.15"] and answer.ranges(TSR) == ["10.1.0.9-10.1.0.9"]


@case("{EN,SGW}.R.1.1.7.3", "of several selectors those of the declared route are answered", "2.9")
def test_several_selectors():
    bench, peer = half_open()
    rows = [child_rows(peer)[0], selectors(TSI, "10.2.0.7/32", "10.2.0.0/24", "192.168.0.0/16"),
            selectors(TSR, "10.1.0.7/32", "10.1.0.0/24")]
    answer = peer.open(bench.ask(peer.seal(IKE_AUTH, peer.auth_rows(rows))))
    assert "10.2.0.0-10.2.0.255" in answer.ranges(TSI) and "10.1.0.0-10.1.0.255" in answer.ranges(TSR)
    assert not any(row.startswith("192.168") for row in answer.ranges(TSI))


@case("{EN,SGW}.R.1.1.7-c", "selectors that share nothing with a route: TS_UNACCEPTABLE, and the IKE SA stands",
      "2.9, 2.21.2")
def test_selectors_that_share_nothing():
    bench, peer = half_open()
    rows = peer.child_rows(CHILD_SPI, "192.168.0.0/16", THERE)
    answer = peer.open(bench.ask(peer.seal(IKE_AUTH, peer.auth_rows(rows))))
    assert answer.kinds == [IDR, AUTH, NOTIFY] and answer.notes == [TS_UNACCEPTABLE]
    assert bench.states == ["established"] and not bench.daemon.inbound


@case("{EN,SGW}.R.1.1.7-d", "selectors of an unknown type are skipped", "2.9, 3.13")
def test_selectors_of_an_unknown_type():
    bench, peer = half_open()
    known = child_rows(peer)
    odd = Row(TSI, bytes([2, 0, 0, 0]) + struct.pack(">BBH", 99, 0, 8) + bytes(4) + known[1].body[4:])
    answer = peer.open(bench.ask(peer.seal(IKE_AUTH, peer.auth_rows([known[0], odd, known[2]]))))
    assert answer.ranges(TSI) == ["10.2.0.0-10.2.0.255"]


# -------------------------------------------------------------------------------------- beyond the outline

@case("{EN,SGW}.R.1.1-a", "hashes that fit the path show no NAT: no ESP in UDP", "2.23")
def test_no_nat():
    bench, peer = Bench(starts=False), scripted(initiator=True)
    peer.take_init_response(bench.ask(peer.init_request([*peer.init_rows(), *peer.nat_rows()])))
    peer.open(bench.ask(peer.seal(IKE_AUTH, peer.auth_rows(child_rows(peer)))))
    assert [child.udp_encapsulated for child in bench.daemon.inbound.values()] == [False]


@case("{EN,SGW}.R.1.1-b", "a NAT before the peer: ESP in UDP to where IKE_AUTH came from", "2.23")
def test_a_nat_before_the_peer():
    bench, peer = Bench(starts=False), scripted(initiator=True)
    request = peer.init_request([*peer.init_rows(), *peer.nat_rows(behind_nat=True)])
    peer.take_init_response(bench.ask(request, source_port=33333))
    data = peer.seal(IKE_AUTH, peer.auth_rows(child_rows(peer)))
    peer.open(bench.ask(data, source_port=44444, port=4500))
    (child,) = bench.daemon.inbound.values()
    assert child.udp_encapsulated and (child.local.port, child.remote.port) == (4500, 44444)


@case("{EN,SGW}.R.1.1-c", "answers go where the request came from, whatever its port", "2.11")
def test_answers_go_back_the_way_the_request_came():
    bench, peer = answered()
    bench.ask(peer.seal(INFORMATIONAL), source_port=1234, port=4500)
    sent = bench.sent[-1][1]
    assert (sent.local.port, sent.remote.port, str(sent.remote.address)) == (4500, 1234, BRANCH)


@case("{EN,SGW}.R.1.1-d", "a peer between whose addresses nothing is declared: NO_PROPOSAL_CHOSEN", "2.21.1")
def test_a_stranger():
    bench, peer = Bench(starts=False), scripted(initiator=True)
    answer = parse(bench.ask(peer.init_request(), source="203.0.113.77"))
    assert answer.notes == [NO_PROPOSAL_CHOSEN] and bench.states == []


@case("{EN,SGW}.R.1.1-e", "more payloads than any exchange needs: dropped", "2.21.1")
def test_payloads_without_end():
    bench, peer = Bench(starts=False), scripted(initiator=True)
    assert bench.give(peer.init_request([*peer.init_rows(), *[Row(VENDOR_ID)] * 200])) == []
    assert chain([Row(VENDOR_ID)] * 200)[0] == VENDOR_ID and bench.counters == {"malformed": 1}
