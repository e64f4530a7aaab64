# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemon as responder of IKE_SA_INIT and IKE_AUTH. Numbers that end in a letter: see docs/conformance.md."""

from __future__ import annotations

import struct

import pytest
from ikeengine.ike.context import Settings

from tests.conformance.bench import CHILD_SPI, HERE, THERE, Bench, answered, child_rows, half_open, scripted
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
    IDI,
    IDR,
    IKE_AUTH,
    IKE_SA_INIT,
    INFORMATIONAL,
    INITIAL_CONTACT,
    INTEG,
    INVALID_KE_PAYLOAD,
    INVALID_MAJOR_VERSION,
    INVALID_SYNTAX,
    KE,
    NAT_DESTINATION,
    NAT_SOURCE,
    NO_PROPOSAL_CHOSEN,
    NO_SPI,
    NONCE,
    NOTIFY,
    PRF,
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
    identity,
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
    bench = Bench(starts=False, network=COOKIES_AT_ONCE, transforms=(TRANSFORM, {**TRANSFORM, "name": "p1b",
                                                                              "key_group": 14}))
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


# -------------------------------------------------------------------------------------- 1.1.8 errors

@case("{EN,SGW}.R.1.1.8.1", "messages with an SPI that is no IKE SA's are dropped", "2.21.4")
@pytest.mark.parametrize("wrong", [{"spi_i": b"wrongspi"}, {"spi_r": b"wrongspi"},
                                   {"spi_i": b"wrongspi", "spi_r": b"wrongspi"}, {"spi_r": NO_SPI}], ids=str)
@pytest.mark.parametrize("exchange", [IKE_AUTH, CREATE_CHILD_SA, INFORMATIONAL])
def test_messages_of_no_ike_sa(exchange, wrong):
    bench, peer = answered()
    assert bench.give(peer.seal(exchange, message_id=2, **wrong)) == []
    assert bench.counters == {"unknown_spi": 1} and bench.states == ["established"]


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


@case("{EN,SGW}.R.1.1.8-h", "IKE_AUTH without IDi or AUTH: INVALID_SYNTAX, and no IKE SA", "2.21.2")
@pytest.mark.parametrize("missing", [IDI, AUTH])
def test_ike_auth_with_a_payload_missing(missing):
    bench, peer = half_open()
    rows = [row for row in peer.auth_rows(child_rows(peer)) if row.kind != missing]
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
