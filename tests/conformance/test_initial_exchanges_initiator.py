# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemon as initiator of IKE_SA_INIT and IKE_AUTH. Numbers that end in a letter: see docs/conformance.md."""

from __future__ import annotations

import itertools
import struct

import pytest

from tests.conformance.bench import CHILD_SPI, HERE, THERE, Bench, authenticating, child_rows, initiated, scripted
from tests.conformance.outline import case
from tests.conformance.peer import (
    AUTH,
    AUTHENTICATION_FAILED,
    CHILD_SUITE,
    COOKIE,
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
    INVALID_IKE_SPI,
    INVALID_KE_PAYLOAD,
    INVALID_SYNTAX,
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
    X25519,
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
from tests.support.virtual_network import BRANCH, TRANSFORM

UNKNOWN_TYPES = (1, 32, 49, 255)
TWO_GROUPS = ({**TRANSFORM, "key_group": 14}, {**TRANSFORM, "name": "p1b"})


def begun(**declaration):
    """The daemon has sent its first request."""
    bench, peer = Bench(starts=True, **declaration), scripted(initiator=False)
    return bench, peer, bench.begin()


def finish(bench, peer, rows=None, **changes):
    """Answer IKE_AUTH, well unless told otherwise; returns what the daemon sends then."""
    rows = peer.auth_rows(child_rows(peer)) if rows is None else rows
    return bench.give(peer.seal(IKE_AUTH, rows, response=True, message_id=1, **changes))


# -------------------------------------------------------------------------------------- 1.1.1 headers and payloads

@case("{EN,SGW}.I.1.1.1.1", "every field of the IKE_SA_INIT request", "1.2, 3.1-3.4, 3.9")
def test_the_ike_sa_init_request():
    bench, _peer, data = begun()
    request = parse(data)
    assert request.spi_i != NO_SPI and request.spi_r == NO_SPI
    assert (request.version, request.exchange, request.flags, request.message_id) == (0x20, IKE_SA_INIT, 0x08, 0)
    assert request.kinds[:3] == [SA, KE, NONCE] and set(request.kinds[3:]) == {NOTIFY}
    assert not any(row.critical for row in request.rows)
    assert request.proposals == [(1, 1, b"", list(SUITE))]
    assert struct.unpack_from(">HH", request.body(KE)) == (X25519, 0) and len(request.body(KE)) == 4 + 32
    assert 16 <= len(request.body(NONCE)) <= 256
    assert {NAT_SOURCE, NAT_DESTINATION} <= set(request.notes)
    assert bench.states == ["initiating"]


@case("{EN,SGW}.I.1.1.1.2", "every field of the IKE_AUTH request", "1.2, 2.15, 3.5, 3.8, 3.13, 3.14")
def test_the_ike_auth_request():
    bench, peer, request = authenticating()
    assert (request.spi_i, request.spi_r, request.version) == (peer.spi_i, peer.spi_r, 0x20)
    assert (request.exchange, request.flags, request.message_id, request.encrypted) == (IKE_AUTH, 0x08, 1, True)
    assert request.kinds == [IDI, NOTIFY, IDR, AUTH, NOTIFY, SA, TSI, TSR]
    assert request.notes == [INITIAL_CONTACT, QUICK_CRASH_DETECTION]
    assert len(request.note(QUICK_CRASH_DETECTION).data) == 32
    assert request.body(IDI) == bytes([1, 0, 0, 0, 192, 0, 2, 2])
    assert request.body(IDR) == bytes([1, 0, 0, 0, 198, 51, 100, 2])
    assert peer.proves_itself(request)
    ((number, protocol, spi, transforms),) = request.proposals
    assert (number, protocol, len(spi), transforms) == (1, ESP, 4, list(CHILD_SUITE))
    assert request.ranges(TSI) == ["10.1.0.0-10.1.0.255"] and request.ranges(TSR) == ["10.2.0.0-10.2.0.255"]
    assert bench.states == ["authenticating"] and not bench.daemon.inbound


@case("{EN,SGW}.I.1.1.1.3", "the child SA's keys and SPIs are those that RFC 7296 derives", "2.17")
def test_the_keys_of_the_first_child_sa():
    bench, peer = initiated()
    (child,) = bench.daemon.outbound.values()
    keys_i, keys_r = peer.child_keys(peer.nonce_i, peer.nonce_r)
    assert (child.keys_out.encryption, child.keys_in.encryption) == (keys_i, keys_r)
    assert child.spi_out == int.from_bytes(CHILD_SPI, "big") and list(bench.daemon.inbound) == [child.spi_in]


# -------------------------------------------------------------------------------------- 1.1.2 retransmission

def gaps(bench):
    """Seconds between what was sent."""
    times = [time for time, _row in bench.sent]
    return [later - time for time, later in itertools.pairwise(times)]


@case("{EN,SGW}.I.1.1.2.1", "the same request again, octet for octet, ever more seldom", "2.1, 2.4")
def test_the_ike_sa_init_request_is_retransmitted():
    bench, _peer, request = begun()
    again = bench.wait(8)
    assert len(again) >= 3 and set(again) == {request}
    assert gaps(bench) == sorted(gaps(bench)) and gaps(bench)[0] >= 0.4


@case("{EN,SGW}.I.1.1.2.2", "an answered IKE_SA_INIT request is not sent again", "2.1")
def test_the_ike_sa_init_request_is_not_sent_again():
    bench, peer, request = begun()
    assert bench.wait(0.6) == [request]
    peer.take_init_request(request)
    peer.open(bench.ask(peer.init_response()))
    assert bench.give(peer.init_response_octets) == []
    assert all(parse(row).exchange == IKE_AUTH for row in bench.wait(30))


@case("{EN,SGW}.I.1.1.2.3", "the same IKE_AUTH request again, octet for octet, ever more seldom", "2.1, 2.4")
def test_the_ike_auth_request_is_retransmitted():
    bench, _peer, _request = authenticating()
    already = bench.sent[-1][1].data
    again = bench.wait(8)
    assert len(again) >= 3 and set(again) == {already}


@case("{EN,SGW}.I.1.1.2.4", "an answered IKE_AUTH request is not sent again", "2.1")
def test_the_ike_auth_request_is_not_sent_again():
    bench, _peer = initiated()
    assert bench.wait(15) == [] and bench.states == ["established"]


# -------------------------------------------------------------------------------------- 1.1.3 state and timeouts

@case("{EN,SGW}.I.1.1.3.3", "a peer that never answers: the attempt ends, and another begins under another SPI",
      "2.1, 2.4")
def test_repeated_attempts_fail():
    bench, _peer, request = begun()
    sent = bench.wait(120)
    fresh = [row for row in sent if row != request]
    assert sent.count(request) == 7 and fresh and parse(fresh[0]).spi_i != parse(request).spi_i
    assert any("silent" in reason for reason in bench.daemon.reasons)


@case("{EN,SGW}.I.1.1.3.4", "a peer that begins anew with INITIAL_CONTACT ends what the daemon had initiated", "2.4")
def test_initial_contact_from_the_other_end():
    bench, _old = initiated()
    bench.wait(10)
    peer = scripted(initiator=True, seed=2)
    peer.take_init_response(bench.ask(peer.init_request()))
    rows = peer.auth_rows(child_rows(peer, b"\xca\xfe\x00\x02"))
    bench.ask(peer.seal(IKE_AUTH, [rows[0], notify(INITIAL_CONTACT), *rows[1:]]))
    assert bench.states == ["established"] and list(bench.daemon.outbound) == [0xCAFE0002]


@case("{EN,SGW}.I.1.1.3.5", "a silent peer is asked whether it lives, by an empty request, and kept when it answers",
      "1.4, 2.4")
def test_a_liveness_check():
    bench, peer = initiated()
    (data,) = bench.wait(20.2)
    request = peer.open(data)
    assert (request.exchange, request.message_id, request.flags, request.rows) == (INFORMATIONAL, 2, 0x08, ())
    assert bench.give(peer.seal(INFORMATIONAL, response=True, message_id=2)) == []
    assert bench.wait(15) == [] and bench.states == ["established"]


@case("{EN,SGW}.I.1.1.3-a", "a peer that answers no liveness check: everything of the IKE SA ends", "2.4")
def test_a_liveness_check_that_is_not_answered():
    bench, _peer = initiated()
    bench.wait(70)
    assert not bench.daemon.inbound and not bench.daemon.outbound
    assert "established" not in bench.states and any("silent" in row for row in bench.daemon.closings)


@case("{EN,SGW}.I.1.1.3.6", "the IKE SA is closed by a DELETE without SPI, and gone once that is answered", "1.4.1")
def test_the_ike_sa_is_deleted():
    bench, peer = initiated()
    bench.manager.terminate("peer", bench.now)
    (data,) = bench.wait(0.1)
    request = peer.open(data)
    assert (request.exchange, request.message_id, request.deleted) == (INFORMATIONAL, 2, [(1, ())])
    assert bench.states == ["closing"]
    bench.give(peer.seal(INFORMATIONAL, response=True, message_id=2))
    assert bench.states == [] and not bench.daemon.inbound


@case("{EN,SGW}.I.1.1.3.7", "a child SA is closed by a DELETE with the SPI that the daemon receives on", "1.4.1")
def test_a_child_sa_is_deleted():
    bench, peer = initiated()
    (spi,) = bench.daemon.inbound
    bench.manager.terminate("peer", bench.now, tunnel="lan")
    (data,) = bench.wait(0.1)
    request = peer.open(data)
    assert (request.exchange, request.deleted) == (INFORMATIONAL, [(ESP, (spi.to_bytes(4, "big"),))])
    bench.give(peer.seal(INFORMATIONAL, [delete(ESP, CHILD_SPI)], response=True, message_id=2))
    assert bench.states == ["established"] and not bench.daemon.inbound and not bench.daemon.outbound


@case("{EN,SGW}.I.1.1.3.8", "unprotected messages are no sign of life", "2.4")
def test_unprotected_messages_do_not_put_off_the_liveness_check():
    bench, peer = initiated()
    for _second in range(19):
        assert bench.give(peer.clear(INFORMATIONAL, [], message_id=0)) == []
        assert bench.wait(1) == []
    (data,) = bench.wait(1.2)
    assert peer.open(data).rows == ()


@case("{EN,SGW}.I.1.1.3-b", "INVALID_IKE_SPI without protection: the peer is asked at once, not for long, and seldom",
      "2.4, 2.21.4")
def test_invalid_ike_spi_without_protection():
    bench, peer = initiated()
    hint = peer.clear(INFORMATIONAL, [notify(INVALID_IKE_SPI)], response=True)
    assert peer.open(bench.ask(hint)).rows == ()
    assert bench.give(hint) == []
    bench.give(peer.seal(INFORMATIONAL, response=True, message_id=2))
    assert bench.wait(9) == [] and bench.states == ["established"]
    bench.wait(2)
    first = bench.ask(hint)
    assert bench.wait(1.5) == [first] * 3 and bench.states == ["established"]
    bench.wait(0.4)
    assert "established" not in bench.states


@case("{EN,SGW}.I.1.1.3-c", "INVALID_IKE_SPI with the token of IKE_AUTH ends the IKE SA, with another it does not",
      "RFC 6290 §4.5")
def test_a_token_of_quick_crash_detection():
    bench, peer, request = authenticating()
    assert peer.proves_itself(request)
    token = bytes(range(24))
    bench.give(peer.seal(IKE_AUTH, [*peer.auth_rows(child_rows(peer)), notify(QUICK_CRASH_DETECTION, token)],
                         response=True, message_id=1))
    for other in (token[:-1], token[::-1], b"", token + b"!"):
        rows = [notify(INVALID_IKE_SPI), notify(QUICK_CRASH_DETECTION, other)]
        bench.give(peer.clear(INFORMATIONAL, rows, response=True, message_id=2))
        assert bench.states == ["established"]
    rows = [notify(INVALID_IKE_SPI), notify(QUICK_CRASH_DETECTION, bytes(24)), notify(QUICK_CRASH_DETECTION, token)]
    bench.give(peer.clear(INFORMATIONAL, rows, response=True, message_id=2))
    assert not bench.daemon.inbound and bench.daemon.closings == ["the peer has started anew and knows it no more"]


@pytest.mark.parametrize("size", [15, 129])
@case("{EN,SGW}.I.1.1.3-d", "a token of fewer than 16 or more than 128 octets is none", "RFC 6290 §4.1")
def test_tokens_that_are_none(size):
    bench, peer, request = authenticating()
    assert peer.proves_itself(request)
    row = notify(QUICK_CRASH_DETECTION, bytes(size))
    bench.give(peer.seal(IKE_AUTH, [*peer.auth_rows(child_rows(peer)), row], response=True, message_id=1))
    bench.give(peer.clear(INFORMATIONAL, [notify(INVALID_IKE_SPI), row], response=True, message_id=2))
    assert bench.states == ["established"]


# -------------------------------------------------------------------------------------- 1.1.4 critical bit

@case("{EN,SGW}.I.1.1.4.1", "unknown payloads without the critical bit are skipped in both responses", "2.5")
@pytest.mark.parametrize("kind", UNKNOWN_TYPES)
def test_unknown_payloads_that_are_not_critical(kind):
    bench, peer, request = begun()
    unknown = Row(kind, b"what may this be")
    peer.take_init_request(request)
    peer.open(bench.ask(peer.init_response([unknown, *peer.init_rows(), unknown])))
    assert finish(bench, peer, [unknown, *peer.auth_rows(child_rows(peer)), unknown]) == []
    assert bench.states == ["established"] and len(bench.daemon.outbound) == 1


@case("{EN,SGW}.I.1.1.4.2", "an IKE_SA_INIT response with an unknown critical payload is dropped, and waited past",
      "2.5")
@pytest.mark.parametrize("kind", UNKNOWN_TYPES)
def test_an_unknown_critical_payload_in_the_ike_sa_init_response(kind):
    bench, peer, request = begun()
    peer.take_init_request(request)
    assert bench.give(peer.init_response([*peer.init_rows(), Row(kind, critical=True)])) == []
    assert bench.states == ["initiating"] and bench.wait(0.6) == [request]
    peer.open(bench.ask(peer.init_response()))


@case("{EN,SGW}.I.1.1.4.2", "an IKE_AUTH response with an unknown critical payload: no IKE SA, and the peer is told",
      "2.5, 2.21.2")
@pytest.mark.parametrize("kind", UNKNOWN_TYPES)
def test_an_unknown_critical_payload_in_the_ike_auth_response(kind):
    bench, peer, _request = authenticating()
    (data,) = finish(bench, peer, [*peer.auth_rows(child_rows(peer)), Row(kind, critical=True)])
    assert peer.open(data).deleted == [(1, ())] and bench.states == [] and not bench.daemon.inbound


@case("{EN,SGW}.I.1.1.4-a", "a response of a higher minor version is accepted, one of a higher major version is not",
      "2.5")
def test_other_versions_in_responses():
    bench, peer, request = begun()
    peer.take_init_request(request)
    assert bench.give(peer.init_response(version=0x30)) == [] and bench.states == ["initiating"]
    peer.open(bench.ask(peer.init_response(version=0x2F)))
    assert finish(bench, peer, version=0x2F) == [] and bench.states == ["established"]


# -------------------------------------------------------------------------------------- 1.1.5 cookies

def refuse(peer, row, **changes):
    return peer.clear(IKE_SA_INIT, [row], response=True, **{"spi_r": NO_SPI, **changes})


@case("{EN,SGW}.I.1.1.5.1", "the request again with the cookie first, all else unchanged", "2.6")
@pytest.mark.parametrize("size", [1, 32, 64])
@pytest.mark.parametrize("in_udp", [False, True], ids=["", "ESP in UDP only"])
def test_a_cookie(size, in_udp):
    bench, peer, request = begun(network={"encapsulate": lambda _gateway: in_udp})
    first = peer.take_init_request(request)
    data = bench.ask(refuse(peer, notify(COOKIE, bytes(range(size)))))
    again = peer.take_init_request(data)
    assert again.kinds[0] == NOTIFY and again.notifications[0].kind == COOKIE
    assert again.notifications[0].data == bytes(range(size))
    assert again.rows[1:] == first.rows and (again.spi_i, again.message_id) == (first.spi_i, 0)
    request = peer.open(bench.ask(peer.init_response([*peer.init_rows(), *peer.nat_rows()])))
    assert peer.proves_itself(request) and finish(bench, peer) == [] and bench.states == ["established"]


@case("{EN,SGW}.I.1.1.5.2", "INVALID_KE_PAYLOAD after COOKIE: the cookie is shown again", "2.6.1")
def test_a_cookie_then_another_group():
    bench, peer, request = begun(transforms=TWO_GROUPS)
    peer.spi_i = parse(request).spi_i
    bench.ask(refuse(peer, notify(COOKIE, b"cookie")))
    data = bench.ask(refuse(peer, notify(INVALID_KE_PAYLOAD, struct.pack(">H", X25519))))
    again = peer.take_init_request(data)
    assert again.note(COOKIE).data == b"cookie" and again.body(KE)[:2] == struct.pack(">H", X25519)
    assert again.body(NONCE) == parse(request).body(NONCE)


@case("{EN,SGW}.I.1.1.5.3", "a responder that asks for a cookie, another group and a cookie anew gets them", "2.6.1")
def test_a_cookie_then_another_group_then_another_cookie():
    bench, peer, request = begun(transforms=TWO_GROUPS)
    peer.spi_i = parse(request).spi_i
    bench.ask(refuse(peer, notify(COOKIE, b"one")))
    bench.ask(refuse(peer, notify(INVALID_KE_PAYLOAD, struct.pack(">H", X25519))))
    again = peer.take_init_request(bench.ask(refuse(peer, notify(COOKIE, b"two"))))
    assert again.note(COOKIE).data == b"two" and again.body(KE)[:2] == struct.pack(">H", X25519)
    rows = [sa(proposal(number=2)), *peer.init_rows()[1:]]
    assert peer.proves_itself(peer.open(bench.ask(peer.init_response(rows))))


@case("{EN,SGW}.I.1.1.5-a", "a peer that asks for cookies or groups without end is given up", "2.6")
@pytest.mark.parametrize("row", [notify(COOKIE, b"again"), notify(INVALID_KE_PAYLOAD, struct.pack(">H", X25519))],
                         ids=["cookies", "groups"])
def test_loops(row):
    bench, peer, request = begun()
    peer.spi_i = parse(request).spi_i
    asked = 0
    while bench.give(refuse(peer, row)):
        asked += 1
        assert asked < 20
    assert asked == 5 and bench.states == [] and "without end" in bench.daemon.reasons[-1]


# -------------------------------------------------------------------------------------- 1.1.6 algorithms

@case("{EN,SGW}.I.1.1.6-a", "each suite that is declared is offered as it is on the wire", "2.7, 3.3")
@pytest.mark.parametrize(("declared", "suite"), [
    ({"encryption": "AES-128"}, ((ENCR, 12, 128), (PRF, 5, None), (INTEG, 12, None), (DH, X25519, None))),
    ({"authentication": "SHA1"}, ((ENCR, 12, 256), (PRF, 2, None), (INTEG, 2, None), (DH, X25519, None))),
    ({"authentication": "SHA2-384"}, ((ENCR, 12, 256), (PRF, 6, None), (INTEG, 13, None), (DH, X25519, None))),
    ({"authentication": "SHA2-512"}, ((ENCR, 12, 256), (PRF, 7, None), (INTEG, 14, None), (DH, X25519, None))),
    ({"key_group": 14}, ((ENCR, 12, 256), (PRF, 5, None), (INTEG, 12, None), (DH, 14, None))),
    ({"key_group": 19}, ((ENCR, 12, 256), (PRF, 5, None), (INTEG, 12, None), (DH, 19, None))),
    ({"encryption": "AES-GCM-256"}, ((ENCR, 20, 256), (PRF, 5, None), (DH, X25519, None)))])
def test_each_suite(declared, suite):
    _bench, _peer, request = begun(transforms=({**TRANSFORM, **declared},))
    assert parse(request).proposals == [(1, 1, b"", list(suite))]


@case("{EN,SGW}.I.1.1.6.3", "several transforms are offered, each as a proposal of its own", "2.7, 3.3")
def test_several_transforms():
    _bench, _peer, request = begun(transforms=TWO_GROUPS)
    assert [row[3][-1] for row in parse(request).proposals] == [(DH, 14, None), (DH, X25519, None)]
    assert parse(request).body(KE)[:2] == struct.pack(">H", 14)


@case("{EN,SGW}.I.1.1.6.4", "several proposals are numbered from 1, and any of them may be chosen", "2.7, 3.3.1")
@pytest.mark.parametrize("number", [1, 2])
def test_several_proposals(number):
    declared = ({**TRANSFORM}, {**TRANSFORM, "name": "p1b", "encryption": "AES-128"})
    bench, peer, request = begun(transforms=declared)
    assert [row[0] for row in peer.take_init_request(request).proposals] == [1, 2]
    suite = SUITE if number == 1 else ((ENCR, 12, 128), *SUITE[1:])
    bench.ask(peer.init_response([sa(proposal(suite, number=number)), *peer.init_rows()[1:]]))
    assert bench.states == ["authenticating"]


@case("{EN,SGW}.I.1.1.6.11", "INVALID_KE_PAYLOAD: the request again with the group it names, whatever SPI it has",
      "1.2, 2.7")
@pytest.mark.parametrize("spi_r", [NO_SPI, b"not zero"], ids=["SPI zero", "SPI not zero"])
def test_another_group(spi_r):
    bench, peer, request = begun(transforms=TWO_GROUPS)
    first = parse(request)
    peer.spi_i = first.spi_i
    answer = refuse(peer, notify(INVALID_KE_PAYLOAD, struct.pack(">H", X25519)), spi_r=spi_r)
    again = peer.take_init_request(bench.ask(answer))
    assert again.proposals == first.proposals and again.body(KE)[:2] == struct.pack(">H", X25519)
    assert (again.spi_i, again.spi_r, again.message_id) == (first.spi_i, NO_SPI, 0)


@case("{EN,SGW}.I.1.1.6-b", "a group that was not offered is not taken, though the peer asks for it", "2.7")
@pytest.mark.parametrize("data", [struct.pack(">H", 2), b"", b"\x00"], ids=["group 2", "none", "one octet"])
def test_a_group_that_was_not_offered(data):
    bench, peer, request = begun()
    peer.spi_i = parse(request).spi_i
    assert bench.give(refuse(peer, notify(INVALID_KE_PAYLOAD, data))) == []
    assert bench.states == [] and "key group" in bench.daemon.reasons[-1]


@case("{EN,SGW}.I.1.1.6-c", "a suite that was not offered, or more than one, is not taken", "2.7, 3.3.6")
@pytest.mark.parametrize("proposals", [
    [proposal(((ENCR, 12, 128), *SUITE[1:]))], [proposal((*SUITE, (ENCR, 12, 128)))],
    [proposal(last=False), proposal(number=2)], [proposal(SUITE[:3])]],
    ids=["not offered", "two of a type", "two proposals", "one type missing"])
def test_a_response_that_chooses_what_was_not_offered(proposals):
    bench, peer, request = begun()
    peer.take_init_request(request)
    assert bench.give(peer.init_response([sa(*proposals), *peer.init_rows()[1:]])) == []
    assert bench.states == [] and bench.daemon.reasons


@case("{EN,SGW}.I.1.1.6-d", "NO_PROPOSAL_CHOSEN ends the attempt, with what was offered in the reason", "2.21.1")
def test_no_proposal_chosen():
    bench, peer, request = begun()
    peer.spi_i = parse(request).spi_i
    assert bench.give(refuse(peer, notify(NO_PROPOSAL_CHOSEN))) == []
    assert bench.states == [] and "AES-256" in bench.daemon.reasons[-1]


@case("{EN,SGW}.I.1.1.6-e", "a first child SA that is refused leaves the IKE SA up", "1.2, 2.21.2")
@pytest.mark.parametrize("kind", [NO_PROPOSAL_CHOSEN, TS_UNACCEPTABLE, 34, 35, 36, 37])
def test_a_refused_first_child_sa(kind):
    bench, peer, _request = authenticating()
    assert finish(bench, peer, peer.auth_rows([notify(kind)])) == []
    assert bench.states == ["established"] and not bench.daemon.inbound and bench.daemon.reasons


@case("{EN,SGW}.I.1.1.6-f", "a child suite that was not offered is not taken, and the peer's SA is closed",
      "2.7, 2.21.2")
@pytest.mark.parametrize("transforms", [((ENCR, 20, 256), (ESN, 0, None)), ((ENCR, 20, 128), (ESN, 1, None))],
                         ids=["key length", "ESN"])
def test_a_child_suite_that_was_not_offered(transforms):
    bench, peer, request = authenticating()
    (data,) = finish(bench, peer, peer.auth_rows(peer.child_rows(CHILD_SPI, HERE, THERE, transforms)))
    assert peer.open(data).deleted == [(ESP, (request.proposals[0][2],))]
    assert bench.states == ["established"] and not bench.daemon.inbound


# -------------------------------------------------------------------------------------- 1.1.7 traffic selectors

@case("{EN,SGW}.I.1.1.7.1", "narrower selectors are taken", "2.9")
def test_narrower_selectors():
    bench, peer, _request = authenticating()
    finish(bench, peer, peer.auth_rows(peer.child_rows(CHILD_SPI, "10.2.0.0/25", "10.1.0.64/26")))
    (child,) = bench.daemon.outbound.values()
    (part,) = child.routes
    assert (str(part.negotiated.local), str(part.negotiated.remote)) == ("10.1.0.64/26", "10.2.0.0/25")


@case("{EN,SGW}.I.1.1.7-a", "selectors beyond what was proposed are not taken, and the peer's SA is closed",
      "2.9, 2.21.2")
@pytest.mark.parametrize("here", ["10.2.0.0/16", "0.0.0.0/0", "10.3.0.0/24"])
def test_selectors_beyond_what_was_proposed(here):
    bench, peer, request = authenticating()
    (data,) = finish(bench, peer, peer.auth_rows(peer.child_rows(CHILD_SPI, here, THERE)))
    assert peer.open(data).deleted == [(ESP, (request.proposals[0][2],))]
    assert bench.states == ["established"] and not bench.daemon.inbound and bench.daemon.reasons


# -------------------------------------------------------------------------------------- 1.1.8 errors

@case("{EN,SGW}.I.1.1.8-a", "responses under another SPI, message identifier, exchange or role are dropped", "2.2, 3.1")
@pytest.mark.parametrize("wrong", [{"spi_i": b"wrongspi"}, {"message_id": 1}, {"flags": 0x28}, {"flags": 0x00}],
                         ids=str)
def test_ike_sa_init_responses_that_are_none(wrong):
    bench, peer, request = begun()
    peer.take_init_request(request)
    assert bench.give(peer.init_response(**wrong)) == [] and bench.states == ["initiating"]
    assert sum(bench.counters.values()) == 1
    peer.open(bench.ask(peer.init_response()))


@case("{EN,SGW}.I.1.1.8-b", "an IKE_SA_INIT response that is malformed is dropped, and waited past",
      "2.21.1, RFC 6989 2.5")
@pytest.mark.parametrize("spoil", [
    lambda rows: rows[1:], lambda rows: rows[:1] + rows[2:], lambda rows: rows[:2], lambda rows: rows + rows[:1],
    lambda rows: [rows[0], ke(bytes(32)), rows[2]], lambda rows: [rows[0], ke(bytes(31)), rows[2]],
    lambda rows: [*rows[:2], nonce(bytes(15))]],
    ids=["no SA", "no KE", "no nonce", "two SAs", "weak KE", "short KE", "short nonce"])
def test_ike_sa_init_responses_that_are_malformed(spoil):
    bench, peer, request = begun()
    peer.take_init_request(request)
    assert bench.give(peer.init_response(spoil(peer.init_rows()))) == []
    assert bench.states == ["initiating"] and bench.counters == {"malformed": 1}
    assert bench.wait(0.6) == [request]
    assert peer.proves_itself(peer.open(bench.ask(peer.init_response())))


@case("{EN,SGW}.I.1.1.8-c", "an IKE_SA_INIT response without SPI is dropped, and waited past", "2.6, 3.1")
def test_an_ike_sa_init_response_without_spi():
    bench, peer, request = begun()
    peer.take_init_request(request)
    assert bench.give(peer.init_response(spi_r=NO_SPI)) == [] and bench.states == ["initiating"]


@case("{EN,SGW}.I.1.1.8-d", "an IKE_AUTH response that is not authentic is dropped, and waited past", "2.21.2")
@pytest.mark.parametrize("forge", [lambda peer, rows: peer.seal(IKE_AUTH, rows, response=True, message_id=1, spoil=-1),
                                   lambda peer, rows: peer.clear(IKE_AUTH, rows, response=True, message_id=1),
                                   lambda peer, _rows: peer.clear(IKE_AUTH, [notify(AUTHENTICATION_FAILED)],
                                                                  response=True, message_id=1)],
                         ids=["wrong ICV", "in clear", "an error in clear"])
def test_an_ike_auth_response_that_is_not_authentic(forge):
    bench, peer, _request = authenticating()
    assert bench.give(forge(peer, peer.auth_rows(child_rows(peer)))) == []
    assert bench.states == ["authenticating"] and bench.counters == {"not_authentic": 1}
    assert finish(bench, peer) == [] and bench.states == ["established"]


@case("{EN,SGW}.I.1.1.8-e", "an authentic IKE_AUTH response that is malformed: no IKE SA, and the peer is told",
      "2.21.2")
@pytest.mark.parametrize("spoil", [lambda rows: rows[1:], lambda rows: rows + rows[:1], lambda rows: rows + rows[2:3],
                                   lambda rows: rows[:3]], ids=["no IDr", "two IDr", "two SAs", "no selectors"])
def test_ike_auth_responses_that_are_malformed(spoil):
    bench, peer, _request = authenticating()
    (data,) = finish(bench, peer, spoil(peer.auth_rows(child_rows(peer))))
    assert peer.open(data).deleted == [(1, ())] and bench.states == [] and not bench.daemon.inbound


@case("{EN,SGW}.I.1.1.8-f", "requests of the peer's before its IKE_AUTH response wait, and are served after it",
      "2.2, 2.3")
def test_a_request_before_the_ike_auth_response():
    bench, peer, _request = authenticating()
    early = peer.seal(INFORMATIONAL, message_id=0)
    assert bench.give(early) == [] and bench.counters == {"early_request": 1}
    assert finish(bench, peer) == []
    assert peer.open(bench.ask(early)).rows == ()


# -------------------------------------------------------------------------------------- 1.1.9, 1.1.10 authentication

@case("{EN,SGW}.I.1.1.9-a", "another identity than the declared one: AUTHENTICATION_FAILED is told, and no IKE SA",
      "2.21.2")
@pytest.mark.parametrize(("id_type", "value"), [(1, "203.0.113.9"), (2, BRANCH), (11, "198.51.100.2")])
def test_another_identity(id_type, value):
    bench, peer, _request = authenticating()
    own = identity(IDR, value, id_type=id_type)
    (data,) = finish(bench, peer, [own, peer.proof(own), *child_rows(peer)])
    told = peer.open(data)
    assert (told.exchange, told.message_id, told.notes) == (INFORMATIONAL, 2, [AUTHENTICATION_FAILED])
    assert bench.states == [] and not bench.daemon.inbound and "phase 1 identifier" in bench.daemon.reasons[-1]


@case("{EN,SGW}.I.1.1.10-a", "another pre-shared key or method: AUTHENTICATION_FAILED is told, and no IKE SA", "2.21.2")
@pytest.mark.parametrize("proof", [{"psk": b"another"}, {"method": 1}, {"method": 14}, {"method": 200}], ids=str)
def test_another_key_or_method(proof):
    bench, peer, _request = authenticating()
    own = identity(IDR, BRANCH)
    (data,) = finish(bench, peer, [own, peer.proof(own, **proof), *child_rows(peer)])
    assert peer.open(data).notes == [AUTHENTICATION_FAILED]
    assert bench.states == [] and not bench.daemon.inbound


@case("{EN,SGW}.I.1.1.10-b", "an error in place of the IKE_AUTH response ends the attempt, in silence", "2.21.2")
@pytest.mark.parametrize("kind", [AUTHENTICATION_FAILED, INVALID_SYNTAX, 1, 16383])
def test_a_refused_ike_auth(kind):
    bench, peer, _request = authenticating()
    assert finish(bench, peer, [notify(kind)]) == []
    assert bench.states == [] and bench.daemon.reasons


# -------------------------------------------------------------------------------------- 1.1.11 reserved, notifications

@case("{EN,SGW}.I.1.1.11-a", "RESERVED fields of the IKE_SA_INIT response are ignored", "2.5, 3.1-3.4")
def test_reserved_fields_in_the_ike_sa_init_response():
    bench, peer, request = begun()
    peer.take_init_request(request)
    rows = [Row(row.kind, row.body, reserved=0x7F) for row in
            (sa(proposal(reserved=0xFF)), ke(peer.public, reserved=0xFFFF), nonce(peer.nonce_r))]
    assert peer.proves_itself(peer.open(bench.ask(peer.init_response(rows, extra_flags=0xC7))))


@case("{EN,SGW}.I.1.1.11.2", "RESERVED fields of the IKE_AUTH response are ignored", "2.5, 3.5, 3.8, 3.13")
def test_reserved_fields_in_the_ike_auth_response():
    bench, peer, _request = authenticating()
    own = identity(IDR, BRANCH, reserved=b"\xff\xff\xff")
    proof = peer.proof(own)
    rows = [own, Row(AUTH, proof.body[:1] + b"\xff\xff\xff" + proof.body[4:]),
            sa(proposal(CHILD_SUITE, protocol=ESP, spi=CHILD_SPI, reserved=0xFF)),
            selectors(TSI, THERE, reserved=0xFF), selectors(TSR, HERE, reserved=0xFF)]
    rows = [Row(row.kind, row.body, reserved=0x7F) for row in rows]
    assert finish(bench, peer, rows, reserved=0x7F, extra_flags=0xC7) == []
    assert bench.states == ["established"] and len(bench.daemon.outbound) == 1


@case("{EN,SGW}.I.1.1.11.3", "the version flag is ignored", "3.1")
def test_the_version_flag():
    bench, peer, request = begun()
    peer.take_init_request(request)
    assert peer.open(bench.ask(peer.init_response(extra_flags=0x10))).flags == 0x08
    assert finish(bench, peer, extra_flags=0x10) == [] and bench.states == ["established"]


@case("{EN,SGW}.I.1.1.11-b", "an unknown error notification in a response means that the request has failed", "3.10.1")
@pytest.mark.parametrize("kind", [16383, 8192])
def test_an_unknown_error_notification(kind):
    bench, peer, request = begun()
    peer.take_init_request(request)
    assert bench.give(peer.init_response([*peer.init_rows(), notify(kind)])) == []
    assert bench.states == [] and f"{kind}" in bench.daemon.reasons[-1]


@case("{EN,SGW}.I.1.1.11.5", "unknown status notifications in responses are ignored", "3.10.1")
@pytest.mark.parametrize("kind", [40959, 65535])
def test_unknown_status_notifications(kind):
    bench, peer, request = begun()
    peer.take_init_request(request)
    odd = notify(kind, b"whatever")
    peer.open(bench.ask(peer.init_response([*peer.init_rows(), odd])))
    assert finish(bench, peer, [odd, *peer.auth_rows(child_rows(peer)), odd]) == []
    assert bench.states == ["established"] and len(bench.daemon.outbound) == 1


# -------------------------------------------------------------------------------------- beyond the outline

@case("{EN,SGW}.I.1.1-a", "a NAT on the way: IKE_AUTH goes from port 4500 to port 4500, ESP in UDP", "2.23")
def test_a_nat_on_the_way():
    bench, peer, request = begun()
    peer.take_init_request(request)
    peer.open(bench.ask(peer.init_response([*peer.init_rows(), *peer.nat_rows(behind_nat=True)])))
    sent = bench.sent[-1][1]
    assert (sent.local.port, sent.remote.port) == (4500, 4500)
    assert finish(bench, peer) == []
    assert [child.udp_encapsulated for child in bench.daemon.inbound.values()] == [True]


@case("{EN,SGW}.I.1.1-b", "no NAT on the way: IKE_AUTH stays at port 500", "2.23")
def test_no_nat_on_the_way():
    bench, peer, request = begun()
    peer.take_init_request(request)
    peer.open(bench.ask(peer.init_response([*peer.init_rows(), *peer.nat_rows()])))
    sent = bench.sent[-1][1]
    assert (sent.local.port, sent.remote.port) == (500, 500)
