# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""MOBIKE (RFC 4555), in both roles."""

from __future__ import annotations

import hashlib
import ipaddress
from typing import Any

import pytest

from tests.conformance.bench import Bench, answered, child_rows, half_open, initiated, scripted
from tests.conformance.outline import case
from tests.conformance.peer import IKE, IKE_AUTH, INFORMATIONAL, QUICK_CRASH_DETECTION, Message, Peer, Row, notify
from tests.support.virtual_network import BRANCH, HQ

MOBIKE_SUPPORTED, ADDITIONAL_IP4, ADDITIONAL_IP6, NO_ADDITIONAL = 16396, 16397, 16398, 16399
UPDATE, COOKIE2, NO_NATS_ALLOWED = 16400, 16401, 16402
UNACCEPTABLE_ADDRESSES, UNEXPECTED_NAT_DETECTED, INVALID_SYNTAX = 40, 41, 7
NAT_SOURCE, NAT_DESTINATION = 16388, 16389
CAFE, TRAIN, SECOND = "203.0.113.22", "203.0.113.33", "198.51.100.77"
COOKIE = b"0123456789abcdef"


def digest(peer: Peer, address: str, port: int) -> bytes:
    octets = peer.spi_i + peer.spi_r + ipaddress.ip_address(address).packed + port.to_bytes(2, "big")
    return hashlib.sha1(octets, usedforsecurity=False).digest()


def digests(peer: Peer, here: str, there: str = HQ, *, here_port: int = 4500, there_port: int = 4500) -> list[Row]:
    return [notify(NAT_SOURCE, digest(peer, here, here_port)), notify(NAT_DESTINATION, digest(peer, there, there_port))]


def update(peer: Peer, here: str, **ports: int) -> list[Row]:
    return [notify(UPDATE), *digests(peer, here, **ports)]


# -------------------------------------------------------------------------------------- the daemon responds

def followed(*announced: Row) -> tuple[Bench, Peer, Message]:
    """The tester has initiated with MOBIKE; IKE SA and first child SA are up. Also the IKE_AUTH response."""
    bench, peer = half_open()
    rows = [*peer.auth_rows(child_rows(peer)), *(announced or (notify(MOBIKE_SUPPORTED),))]
    answer = peer.open(bench.ask(peer.seal(IKE_AUTH, rows), source_port=4500, port=4500))
    assert peer.proves_itself(answer) and bench.states == ["established"]
    return bench, peer, answer


def say(bench: Bench, peer: Peer, rows: list[Row], *, source: str = BRANCH, source_port: int = 4500) -> list[Message]:
    """A request from there; all that the daemon says to it at once, its answer last."""
    sent = bench.give(peer.seal(INFORMATIONAL, rows), source=source, source_port=source_port, port=4500)
    return sorted(map(peer.open, sent), key=lambda message: message.is_response)


def outer(bench: Bench) -> tuple[str, str, bool]:
    """(where the IKE SA's peer is, where its child SA's is, whether that one is in UDP)."""
    (ike,), (child,) = bench.manager.overview.gateways()[0].ike, bench.daemon.inbound.values()
    return str(ike.remote.address), str(child.remote.address), child.udp_encapsulated


def show(bench: Bench, peer: Peer, question: Message, cookie: bytes | None = None, *, source: str = CAFE) -> None:
    """Answer the daemon's return routability check, rightly unless another cookie is given."""
    rows = [notify(COOKIE2, question.note(COOKIE2).data if cookie is None else cookie)]
    bench.give(peer.seal(INFORMATIONAL, rows, response=True, message_id=question.message_id), source=source,
               source_port=4500, port=4500)


@case("MOBIKE.R.3.2-a", "MOBIKE_SUPPORTED is answered where the peer announces it, and only there", "3.2, 4.2.1")
def test_support_is_answered():
    _bench, _peer, answer = followed()
    assert (answer.note(MOBIKE_SUPPORTED).data, answer.note(MOBIKE_SUPPORTED).protocol) == (b"", 0)
    bench, peer = half_open()
    answer = peer.open(bench.ask(peer.seal(IKE_AUTH, peer.auth_rows(child_rows(peer)))))
    assert MOBIKE_SUPPORTED not in answer.notes


@case("MOBIKE.R.3.2-b", "without MOBIKE its notifications are passed over", "3.2")
@pytest.mark.parametrize("kind", [UPDATE, NO_ADDITIONAL, COOKIE2, NO_NATS_ALLOWED])
def test_without_it_nothing_is_taken(kind):
    bench, peer = answered()
    (answer,) = [peer.open(data) for data in bench.give(peer.seal(INFORMATIONAL, [notify(kind, bytes(12))]),
                                                        source=CAFE)]
    assert answer.rows == () and outer(bench)[:2] == (BRANCH, BRANCH)


@case("MOBIKE.R.3.4-a", "the initiator's other addresses are kept, and nothing is done with them", "3.4")
def test_other_addresses_of_the_initiator():
    kept = [notify(ADDITIONAL_IP4, ipaddress.ip_address(SECOND).packed),
            notify(ADDITIONAL_IP6, ipaddress.ip_address("2001:db8::7").packed)]
    bench, _peer, _answer = followed(notify(MOBIKE_SUPPORTED), *kept)
    (session,) = bench.manager._sessions
    assert list(map(str, session.mobility.peer_addresses)) == [BRANCH, SECOND, "2001:db8::7"]
    bench.wait(60)
    assert {str(datagram.remote.address) for _time, datagram in bench.sent} == {BRANCH}


@case("MOBIKE.R.3.5-a", "UPDATE_SA_ADDRESSES from another address: the IKE SA follows, and child SAs once the peer "
      "shows that it receives there", "3.5, 3.7")
def test_an_update():
    bench, peer, _answer = followed()
    question, answer = say(bench, peer, update(peer, CAFE), source=CAFE)
    assert answer.note(NAT_SOURCE).data == digest(peer, HQ, 4500)
    assert answer.note(NAT_DESTINATION).data == digest(peer, CAFE, 4500)
    assert question.notes == [COOKIE2] and 8 <= len(question.note(COOKIE2).data) <= 64
    assert {str(row[1].remote.address) for row in bench.sent[-2:]} == {CAFE}
    assert outer(bench) == (CAFE, BRANCH, False)
    show(bench, peer, question)
    assert outer(bench) == (CAFE, CAFE, False)


@case("MOBIKE.R.3.5-b", "UPDATE_SA_ADDRESSES from another port: child SAs follow at once", "3.5")
def test_an_update_from_another_port():
    bench, peer, _answer = followed()
    (answer,) = say(bench, peer, update(peer, BRANCH), source_port=50001)
    assert answer.is_response and outer(bench) == (BRANCH, BRANCH, True)
    (child,) = bench.daemon.inbound.values()
    assert child.remote.port == 50001


@case("MOBIKE.R.3.5-c", "addresses that do not serve: UNACCEPTABLE_ADDRESSES, and nothing moves", "3.5")
def test_unacceptable_addresses():
    bench, peer, _answer = followed()
    bench.manager._is_acceptable = lambda *_asked: False
    (answer,) = say(bench, peer, [*update(peer, CAFE), notify(COOKIE2, COOKIE)], source=CAFE)
    assert answer.notes == [UNACCEPTABLE_ADDRESSES, COOKIE2] and outer(bench) == (BRANCH, BRANCH, False)


@case("MOBIKE.R.3.5-d", "another request from another address is answered there, and moves nothing", "3.5, 3.8, 3.10")
def test_other_requests_move_nothing():
    bench, peer, _answer = followed()
    (answer,) = say(bench, peer, digests(peer, CAFE), source=CAFE)
    assert answer.note(NAT_DESTINATION).data == digest(peer, CAFE, 4500)
    assert str(bench.sent[-1][1].remote.address) == CAFE and outer(bench) == (BRANCH, BRANCH, False)


@case("MOBIKE.R.3.5-e", "a second update before the check of the first is answered: only the last address counts",
      "3.5, 3.7")
def test_updates_in_a_row():
    bench, peer, _answer = followed()
    first = say(bench, peer, update(peer, CAFE), source=CAFE)[0]
    say(bench, peer, update(peer, TRAIN), source=TRAIN)
    show(bench, peer, first)
    assert outer(bench)[:2] == (TRAIN, BRANCH)
    question = peer.open(bench.sent[-1][1].data)
    assert str(bench.sent[-1][1].remote.address) == TRAIN and question.message_id == first.message_id + 1
    show(bench, peer, question, source=TRAIN)
    assert outer(bench)[:2] == (TRAIN, TRAIN)


@case("MOBIKE.R.3.7-c", "to say the same twice is no check: child SAs still wait for it", "3.7")
def test_the_same_update_twice():
    bench, peer, _answer = followed()
    say(bench, peer, update(peer, CAFE), source=CAFE)
    say(bench, peer, update(peer, CAFE), source=CAFE)
    assert outer(bench)[:2] == (CAFE, BRANCH)


@case("MOBIKE.R.3.5-f", "a NAT that an update shows puts ESP in UDP, and one that is gone takes it out", "3.5")
def test_a_nat_comes_and_goes():
    bench, peer, _answer = followed()
    show(bench, peer, say(bench, peer, update(peer, "10.9.8.7"), source=CAFE)[0])
    assert outer(bench) == (CAFE, CAFE, True)
    show(bench, peer, say(bench, peer, update(peer, TRAIN), source=TRAIN)[0], source=TRAIN)
    assert outer(bench) == (TRAIN, TRAIN, False)


@case("MOBIKE.R.3.5-g", "a request of the daemon's that is under way goes on at the new address", "3.5")
def test_what_is_under_way():
    bench, peer, _answer = followed()
    (asked,) = bench.wait(20.2)
    say(bench, peer, update(peer, CAFE), source=CAFE)
    bench.run(0.01)
    again = [datagram for _time, datagram in bench.sent if datagram.data == asked]
    assert [str(datagram.remote.address) for datagram in again] == [BRANCH, CAFE]


@case("MOBIKE.R.3.6-a", "a list of addresses is answered by nothing but the cookie", "3.6")
@pytest.mark.parametrize("rows", [[notify(NO_ADDITIONAL)], [notify(ADDITIONAL_IP4, bytes([198, 51, 100, 77]))]],
                         ids=["none", "one"])
def test_a_list_of_addresses(rows):
    bench, peer, _answer = followed()
    (answer,) = say(bench, peer, [*rows, notify(COOKIE2, COOKIE)])
    assert (answer.notes, answer.note(COOKIE2).data) == ([COOKIE2], COOKIE)
    (session,) = bench.manager._sessions
    assert len(session.mobility.peer_addresses) == 1 + (rows[0].body[2:4] != b"\x40\x0f")


@case("MOBIKE.R.3.7-a", "COOKIE2 is copied as it is", "3.7, 4.2.5")
@pytest.mark.parametrize("size", [8, 16, 64])
def test_cookies_are_copied(size):
    bench, peer, _answer = followed()
    (answer,) = say(bench, peer, [notify(COOKIE2, bytes(range(size)))])
    assert (answer.notes, answer.note(COOKIE2).data) == ([COOKIE2], bytes(range(size)))


@case("MOBIKE.R.3.7-b", "a check that is answered with another cookie, or none, ends the IKE SA", "3.7")
@pytest.mark.parametrize("cookie", [COOKIE, b""], ids=["another", "none"])
def test_a_wrong_cookie(cookie):
    bench, peer, _answer = followed()
    question = say(bench, peer, update(peer, CAFE), source=CAFE)[0]
    rows = [notify(COOKIE2, cookie)] if cookie else []
    (told,) = bench.give(peer.seal(INFORMATIONAL, rows, response=True, message_id=question.message_id), source=CAFE,
                         source_port=4500, port=4500)
    assert peer.open(told).deleted == [(IKE, ())] and bench.states == []


@case("MOBIKE.R.3.8-a", "digests for NAT detection in any request are answered by those of the answer", "3.8")
def test_digests_in_a_liveness_check():
    bench, peer, _answer = followed()
    (answer,) = say(bench, peer, digests(peer, BRANCH), source_port=50001)
    assert answer.note(NAT_DESTINATION).data == digest(peer, BRANCH, 50001)
    assert outer(bench) == (BRANCH, BRANCH, False)


@case("MOBIKE.R.3.9-a", "NO_NATS_ALLOWED that a NAT has belied: UNEXPECTED_NAT_DETECTED, and nothing moves", "3.9")
def test_a_forbidden_nat():
    bench, peer, _answer = followed()

    def path(source: str, port: int) -> bytes:
        return (ipaddress.ip_address(source).packed + ipaddress.ip_address(HQ).packed + port.to_bytes(2, "big")
                + (4500).to_bytes(2, "big"))

    (answer,) = say(bench, peer, [*update(peer, CAFE), notify(NO_NATS_ALLOWED, path("10.9.8.7", 4500)),
                                  notify(COOKIE2, COOKIE)], source=CAFE)
    assert answer.notes == [UNEXPECTED_NAT_DETECTED, COOKIE2] and outer(bench) == (BRANCH, BRANCH, False)
    messages = say(bench, peer, [*update(peer, CAFE), notify(NO_NATS_ALLOWED, path(CAFE, 4500))], source=CAFE)
    show(bench, peer, messages[0])
    assert outer(bench) == (CAFE, CAFE, False)


@case("MOBIKE.R.4.2-a", "data of a wrong size: INVALID_SYNTAX, and the IKE SA ends", "4.2")
@pytest.mark.parametrize("kind,size", [(ADDITIONAL_IP4, 3), (ADDITIONAL_IP6, 4), (COOKIE2, 7), (COOKIE2, 65),
                                       (NO_NATS_ALLOWED, 11), (NAT_SOURCE, 19)])
def test_wrong_sizes(kind, size):
    bench, peer, _answer = followed()
    (answer,) = say(bench, peer, [notify(kind, bytes(size))])
    assert answer.notes == [INVALID_SYNTAX] and bench.states == []


# -------------------------------------------------------------------------------------- the daemon initiates

def roamer(*announced: Row, behind_nat: bool = False, **gateway: Any) -> tuple[Bench, Peer, Message]:
    """The daemon, whose address is its own to choose, has initiated, and the tester answered with MOBIKE. Also the
    daemon's IKE_AUTH request."""
    local = {"address": "dynamic", "identifier": {"type": "domain-name", "value": "hq.example"}}
    bench, peer = Bench(starts=True, gateway={"endpoints": [{"local": local, "remote": {"address": BRANCH}}],
                                              **gateway}), scripted(initiator=False)
    peer.take_init_request(bench.begin())
    rows = peer.nat_rows()
    if behind_nat:
        rows[1] = notify(NAT_DESTINATION, bytes(20))
    request = peer.open(bench.ask(peer.init_response([*peer.init_rows(), *rows])))
    answer = [*peer.auth_rows(child_rows(peer)), *(announced or (notify(MOBIKE_SUPPORTED),))]
    bench.give(peer.seal(IKE_AUTH, answer, response=True, message_id=1), source_port=4500, port=4500)
    assert bench.states == ["established"]
    return bench, peer, request


def roam(bench: Bench, peer: Peer, address: str) -> list[Message]:
    """The daemon has that address now; what it says."""
    before = len(bench.sent)
    bench.roam(bench.daemon, address)
    bench.run(0.001)
    return [peer.open(datagram.data) for _time, datagram in bench.sent[before:]]


def grant(bench: Bench, peer: Peer, request: Message, rows: list[Row] | None = None, *, to: str,
          cookie: bool = True) -> list[Message]:
    """Answer the daemon's request at that address of its, with its cookie; what it says then."""
    shown = [notify(COOKIE2, row.data) for row in request.notifications if row.kind == COOKIE2 and cookie]
    rows = digests(peer, BRANCH, to) if rows is None else rows
    return [peer.open(data) for data in bench.give(
        peer.seal(INFORMATIONAL, [*rows, *shown], response=True, message_id=request.message_id), source_port=4500,
        port=4500, to=to)]


def inner(bench: Bench) -> tuple[str, bool]:
    """Which of its addresses the daemon's child SA has, and whether it is in UDP."""
    (child,) = bench.daemon.inbound.values()
    return str(child.local.address), child.udp_encapsulated


@case("MOBIKE.I.3.2-a", "MOBIKE_SUPPORTED stands in IKE_AUTH, which goes to port 4500 without a NAT", "3.2, 3.3, 4.2.1")
def test_support_is_announced():
    bench, _peer, request = roamer()
    assert request.note(MOBIKE_SUPPORTED).data == b""
    assert [(row[1].local.port, row[1].remote.port) for row in bench.sent] == [(500, 500), (4500, 4500)]


@case("MOBIKE.I.3.2-b", "where its address is declared the daemon announces nothing, and takes nothing", "3.2")
def test_a_declared_address():
    bench, peer = initiated()
    assert {row[1].local.port for row in bench.sent} == {500}
    (session,) = bench.manager._sessions
    assert session.mobility is None and peer.keys is not None


@case("MOBIKE.I.3.5-a", "another address: every field of the request, from there; the child SA goes along", "3.5, 4.2")
def test_an_update_of_the_daemons():
    bench, peer, _request = roamer()
    (asked,) = roam(bench, peer, CAFE)
    assert (asked.exchange, asked.notes) == (
        INFORMATIONAL, [UPDATE, NAT_SOURCE, NAT_DESTINATION, COOKIE2, QUICK_CRASH_DETECTION])
    assert asked.note(UPDATE).data == b"" and 8 <= len(asked.note(COOKIE2).data) <= 64
    assert asked.note(NAT_SOURCE).data == digest(peer, CAFE, 4500)
    assert asked.note(NAT_DESTINATION).data == digest(peer, BRANCH, 4500)
    assert str(bench.sent[-1][1].local) == f"{CAFE}:4500" and inner(bench) == (CAFE, False)
    assert grant(bench, peer, asked, to=CAFE) == [] and bench.states == ["established"]


@case("MOBIKE.I.3.5-b", "a request under way goes on from the new address, and the update after it", "3.5")
def test_the_window_holds():
    bench, peer, _request = roamer()
    (asked,) = bench.wait(20.2)
    (again,) = roam(bench, peer, CAFE)
    assert again == peer.open(asked) and str(bench.sent[-1][1].local.address) == CAFE
    (updating,) = grant(bench, peer, again, [], to=CAFE)
    assert updating.message_id == again.message_id + 1 and UPDATE in updating.notes


@case("MOBIKE.I.3.5-c", "the answer to an update before the last change says nothing; another update follows", "3.5")
def test_a_change_meanwhile():
    bench, peer, _request = roamer()
    (first,) = roam(bench, peer, CAFE)
    again = roam(bench, peer, TRAIN)
    assert again == [first]
    (second,) = grant(bench, peer, first, digests(peer, BRANCH, "10.9.8.7"), to=TRAIN)
    assert second.note(NAT_SOURCE).data == digest(peer, TRAIN, 4500) and inner(bench) == (TRAIN, False)
    assert grant(bench, peer, second, to=TRAIN) == []


@case("MOBIKE.I.3.5-d", "UNACCEPTABLE_ADDRESSES: the peer's other address is tried; where it has none, closed", "3.5")
@pytest.mark.parametrize("has_another", [True, False])
def test_a_refused_update(has_another):
    other = notify(ADDITIONAL_IP4, ipaddress.ip_address(SECOND).packed)
    bench, peer, _request = roamer(notify(MOBIKE_SUPPORTED), *([other] if has_another else []))
    (asked,) = roam(bench, peer, CAFE)
    (said,) = grant(bench, peer, asked, [notify(UNACCEPTABLE_ADDRESSES)], to=CAFE)
    if has_another:
        assert UPDATE in said.notes and str(bench.sent[-1][1].remote.address) == SECOND
    else:
        assert said.deleted == [(IKE, ())] and bench.states == []


@case("MOBIKE.I.3.5-e", "UPDATE_SA_ADDRESSES from the responder is passed over", "3.5")
def test_the_responder_decides_nothing():
    bench, peer, _request = roamer()
    peer.next_id = 0
    (answer,) = [peer.open(data) for data in bench.give(peer.seal(INFORMATIONAL, update(peer, SECOND)), source=SECOND,
                                                        source_port=4500, port=4500)]
    assert NAT_DESTINATION in answer.notes
    assert str(bench.manager.overview.gateways()[0].ike[0].remote.address) == BRANCH


@case("MOBIKE.I.3.5-f", "a NAT that the answer shows puts ESP in UDP, and keep-alives begin", "3.5")
def test_a_nat_before_the_daemon():
    bench, peer, _request = roamer(dead_peer_detection={"idle": "1h"})
    (asked,) = roam(bench, peer, "10.9.8.7")
    grant(bench, peer, asked, digests(peer, BRANCH, CAFE), to="10.9.8.7")
    assert inner(bench) == ("10.9.8.7", True) and b"\xff" in bench.wait(21)


@case("MOBIKE.I.3.5-g", "a path that is silent: the same request to the peer's other address, then the update", "3.5")
def test_a_dead_path():
    bench, peer, _request = roamer(notify(MOBIKE_SUPPORTED), notify(ADDITIONAL_IP4, ipaddress.ip_address(
        SECOND).packed), dead_peer_detection={"idle": 5, "retries": 2})
    (asked, *_again) = bench.wait(9)
    last = bench.sent[-1][1]
    assert last.data == asked and str(last.remote.address) == SECOND
    (updating,) = grant(bench, peer, peer.open(asked), [], to=HQ)
    assert UPDATE in updating.notes and str(bench.sent[-1][1].remote.address) == SECOND
    grant(bench, peer, updating, to=HQ)
    (child,) = bench.daemon.inbound.values()
    assert str(child.remote.address) == SECOND


@case("MOBIKE.I.3.6-a", "a list without the address in use: the daemon goes to the one that it came from", "3.5, 3.6")
def test_a_list_without_the_address_in_use():
    bench, peer, _request = roamer()
    peer.next_id = 0
    sent = [peer.open(data) for data in bench.give(peer.seal(INFORMATIONAL, [notify(NO_ADDITIONAL)]), source=SECOND,
                                                   source_port=4500, port=4500)]
    (updating,) = [message for message in sent if not message.is_response]
    assert UPDATE in updating.notes and {str(row[1].remote.address) for row in bench.sent[-2:]} == {SECOND}
    (child,) = bench.daemon.inbound.values()
    assert str(child.remote.address) == BRANCH, "until it answers there"
    grant(bench, peer, updating, to=HQ)
    (child,) = bench.daemon.inbound.values()
    assert str(child.remote.address) == SECOND


@case("MOBIKE.I.3.7-a", "an update that is answered without its cookie ends the IKE SA", "3.7")
def test_an_update_without_its_cookie():
    bench, peer, _request = roamer()
    (asked,) = roam(bench, peer, CAFE)
    (told,) = grant(bench, peer, asked, to=CAFE, cookie=False)
    assert told.deleted == [(IKE, ())] and bench.states == []


@case("MOBIKE.I.3.8-a", "behind a NAT liveness checks ask for the mapping; another one is told by an update", "3.8")
def test_a_liveness_check_behind_a_nat():
    bench, peer, _request = roamer(behind_nat=True, dead_peer_detection={"idle": 5, "retries": 5})
    asked = peer.open(bench.wait(5.2)[-1])
    assert asked.notes == [NAT_SOURCE, NAT_DESTINATION]
    (updating,) = grant(bench, peer, asked, digests(peer, BRANCH, CAFE), to=HQ)
    assert UPDATE in updating.notes
    assert grant(bench, peer, updating, digests(peer, BRANCH, CAFE), to=HQ) == []
    asked = peer.open(bench.wait(5.2)[-1])
    assert grant(bench, peer, asked, digests(peer, BRANCH, CAFE), to=HQ) == [], "the mapping is the same"
    asked = peer.open(bench.wait(5.2)[-1])
    (updating,) = grant(bench, peer, asked, digests(peer, BRANCH, TRAIN), to=HQ)
    assert UPDATE in updating.notes
