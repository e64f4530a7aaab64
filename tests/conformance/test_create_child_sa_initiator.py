# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemon as initiator of CREATE_CHILD_SA, alone and while the peer does the same. Numbers that end in a letter: see
docs/conformance.md."""

from __future__ import annotations

import struct

import pytest

from tests.conformance.bench import (
    CHILD_SPI,
    HIGH,
    LOW,
    NEW_SPI,
    answered,
    asked_by_daemon,
    asked_by_tester,
    authenticating,
    child_rows,
    initiated,
    new_child,
    new_ike,
    rekeyed_child,
)
from tests.conformance.outline import case
from tests.conformance.peer import (
    CHILD_SA_NOT_FOUND,
    CREATE_CHILD_SA,
    ENCR,
    ESN,
    ESP,
    IKE,
    IKE_AUTH,
    INFORMATIONAL,
    INVALID_KE_PAYLOAD,
    KE,
    NO_PROPOSAL_CHOSEN,
    NONCE,
    NOTIFY,
    PFS_SUITE,
    REKEY_SA,
    SA,
    SUITE,
    TEMPORARY_FAILURE,
    TS_UNACCEPTABLE,
    TSI,
    TSR,
    X25519,
    delete,
    ke,
    nonce,
    notify,
    proposal,
    sa,
    selectors,
)
from tests.support.virtual_network import TRANSFORM

TWO_ROUTES = (("10.1.0.0/24", "10.2.0.0/24"), ("10.1.1.0/24", "10.2.1.0/24"))
BOTH_ROLES = pytest.mark.parametrize("up", [answered, initiated], ids=["IKE SA by the tester", "IKE SA by the daemon"])
OLD, NEW = int.from_bytes(CHILD_SPI, "big"), int.from_bytes(NEW_SPI, "big")


def rekeys_child(up=initiated, **declaration):
    """The daemon has asked to rekey its child SA."""
    bench, peer = up(**declaration)
    bench.daemon.come_due(bench.now)
    (data,) = bench.wait(0.1)
    return bench, peer, peer.open(data)


def rekeys_ike(up=initiated, **declaration):
    """The daemon has asked to rekey the IKE SA."""
    bench, peer = up(**declaration)
    bench.daemon.come_due(bench.now, ike=True)
    (data,) = bench.wait(0.1)
    return bench, peer, peer.open(data)


def answer(bench, peer, request, rows, **changes):
    return bench.give(peer.seal(request.exchange, rows, response=True, message_id=request.message_id, **changes))


def grant(peer, **changes):
    return new_child(peer, asking=False, **changes)


# -------------------------------------------------------------------------------------- 1.2.1, 1.2.2

@case("{EN,SGW}.I.1.2.1-a", "a child SA is rekeyed: every field of the request", "1.3.3, 2.8, 3.10")
@BOTH_ROLES
def test_the_request_to_rekey_a_child_sa(up):
    bench, peer, request = rekeys_child(up)
    (old,) = bench.daemon.inbound
    assert request.exchange == CREATE_CHILD_SA and request.from_initiator is not peer.initiator
    assert request.kinds == [NOTIFY, SA, NONCE, KE, TSI, TSR]
    note = request.note(REKEY_SA)
    assert (note.protocol, note.spi, note.data) == (ESP, old.to_bytes(4, "big"), b"")
    ((number, protocol, spi, transforms),) = request.proposals
    assert (number, protocol, set(transforms)) == (1, ESP, set(PFS_SUITE)) and spi != note.spi
    assert request.body(KE)[:4] == struct.pack(">HH", X25519, 0) and len(request.body(NONCE)) >= 16
    assert request.ranges(TSI) == ["10.1.0.0-10.1.0.255"] and request.ranges(TSR) == ["10.2.0.0-10.2.0.255"]


@case("{EN,SGW}.I.1.2.1-b", "a child SA is rekeyed: the new one's keys, then the DELETE of the old one", "2.8, 2.17")
@BOTH_ROLES
def test_a_child_sa_is_rekeyed(up):
    bench, peer, request = rekeys_child(up)
    (old,) = bench.daemon.inbound
    (data,) = answer(bench, peer, request, grant(peer))
    child = bench.daemon.outbound[NEW]
    keys_i, keys_r = peer.child_keys(request.body(NONCE), HIGH, peer.shared_secret(request))
    assert (child.keys_out.encryption, child.keys_in.encryption) == (keys_i, keys_r)
    told = peer.open(data)
    assert told.deleted == [(ESP, (old.to_bytes(4, "big"),))] and told.message_id == request.message_id + 1
    assert answer(bench, peer, told, [delete(ESP, CHILD_SPI)]) == []
    assert list(bench.daemon.outbound) == [NEW] and len(bench.daemon.inbound) == 1


@case("{EN,SGW}.I.1.2.1-c", "a child SA is rekeyed before its life is over, and an IKE SA too", "2.8")
@pytest.mark.parametrize(("life", "kinds"), [("child", [NOTIFY, SA, NONCE, KE, TSI, TSR]), ("IKE", [SA, NONCE, KE])])
def test_lives(life, kinds):
    short = {"sa_life": "10m"} if life == "IKE" else {}
    proposals = ({"name": "p2", "protocol": "ESP", "encryption": "AES-GCM-128",
                  "force_key_expiration": {"time": "10m" if life == "child" else "8h"}},)
    bench, peer = initiated(transforms=({**TRANSFORM, **short},), proposals=proposals)
    begun, request = bench.now, None
    while request is None or request.exchange != CREATE_CHILD_SA:
        assert bench.now - begun < 600
        for data in bench.wait(0.3):
            request = peer.open(data)
            answer(bench, peer, request, [])
    assert request.kinds == kinds and bench.now - begun > 0.75 * 600


@case("{EN,SGW}.I.1.2.2-a", "the same CREATE_CHILD_SA request again, octet for octet, until it is answered", "2.1")
def test_a_request_is_retransmitted():
    bench, peer, request = rekeys_child()
    data = bench.sent[-1][1].data
    assert bench.wait(2) == [data, data]
    answer(bench, peer, request, grant(peer))
    assert data not in bench.wait(10)


# -------------------------------------------------------------------------------------- 1.2.3, 1.2.4 refusals

@case("{EN,SGW}.I.1.2.3-a", "a rekey that is refused leaves the old child SA in use, and is tried again", "2.8, 2.21.3")
@pytest.mark.parametrize("row", [notify(NO_PROPOSAL_CHOSEN), notify(TS_UNACCEPTABLE), notify(TEMPORARY_FAILURE),
                                 notify(INVALID_KE_PAYLOAD, b"\x00\x0e"), notify(35), notify(16383)],
                         ids=["proposal", "selectors", "later", "group", "no more SAs", "unknown error"])
def test_a_rekey_that_is_refused(row):
    bench, peer, request = rekeys_child()
    assert answer(bench, peer, request, [row]) == []
    assert list(bench.daemon.outbound) == [OLD] and bench.states == ["established"]
    (data,) = bench.wait(8)[:1]
    assert peer.open(data).note(REKEY_SA).spi == request.note(REKEY_SA).spi


@case("{EN,SGW}.I.1.2.3-b", "CHILD_SA_NOT_FOUND: the old child SA goes, and a new one is asked for", "2.25.1")
def test_a_rekey_of_what_the_peer_has_no_longer():
    bench, peer, request = rekeys_child()
    note = request.note(REKEY_SA)
    answer(bench, peer, request, [notify(CHILD_SA_NOT_FOUND, protocol=ESP, spi=note.spi)])
    assert not bench.daemon.outbound and bench.states == ["established"]
    (data,) = bench.wait(5)[:1]
    assert peer.open(data).kinds == [SA, NONCE, KE, TSI, TSR]


@case("{EN,SGW}.I.1.2.3-c", "an answer that cannot be used: the peer's new child SA is closed, the old one stays",
      "2.8, 2.21.3")
@pytest.mark.parametrize("spoil", [
    lambda rows: [sa(proposal(((ENCR, 20, 256), *PFS_SUITE[1:]), protocol=ESP, spi=NEW_SPI)), *rows[1:]],
    lambda rows: [sa(proposal((PFS_SUITE[0], (ESN, 0, None)), protocol=ESP, spi=NEW_SPI)), rows[1], *rows[3:]],
    lambda rows: [*rows[:2], ke(bytes(256), 14), *rows[3:]],
    lambda rows: [*rows[:4], selectors(TSR, "0.0.0.0/0")]],
    ids=["another key length", "no PFS", "another group", "wider selectors"])
def test_an_answer_that_cannot_be_used(spoil):
    bench, peer, request = rekeys_child()
    (data,) = answer(bench, peer, request, spoil(grant(peer)))
    assert peer.open(data).deleted == [(ESP, (request.proposals[0][2],))]
    assert list(bench.daemon.outbound) == [OLD] and bench.states == ["established"]


@case("{EN,SGW}.I.1.2.3-d", "an authentic answer that is malformed: the IKE SA is closed, and the peer is told",
      "2.21.3")
@pytest.mark.parametrize("missing", [SA, NONCE, KE, TSI, TSR])
def test_an_answer_that_is_malformed(missing):
    bench, peer, request = rekeys_child()
    sent = answer(bench, peer, request, [row for row in grant(peer) if row.kind != missing])
    assert peer.open(sent[0]).deleted == [(IKE, ())]
    assert "established" not in bench.states and not bench.daemon.inbound


# -------------------------------------------------------------------------------------- 1.2.5 further child SAs

def asks_for_more():
    """The IKE SA is up, and the daemon asks for its second route."""
    bench, peer, _request = authenticating(routes=TWO_ROUTES)
    rows = peer.auth_rows(child_rows(peer))
    (data,) = bench.give(peer.seal(IKE_AUTH, rows, response=True, message_id=1))
    return bench, peer, peer.open(data)


@case("{EN,SGW}.I.1.2.5-a", "a further route is asked for by a CREATE_CHILD_SA of its own", "1.3.1")
def test_a_further_child_sa():
    bench, peer, request = asks_for_more()
    assert request.exchange == CREATE_CHILD_SA and request.message_id == 2
    assert request.kinds == [SA, NONCE, KE, TSI, TSR] and request.ranges(TSI) == ["10.1.1.0-10.1.1.255"]
    assert answer(bench, peer, request, grant(peer, here="10.2.1.0/24", there="10.1.1.0/24")) == []
    assert set(bench.daemon.outbound) == {OLD, NEW}


@case("{EN,SGW}.I.1.2.5-b", "a further child SA that is refused leaves the others up, and is tried again later", "1.3")
@pytest.mark.parametrize("kind", [35, NO_PROPOSAL_CHOSEN, TS_UNACCEPTABLE, TEMPORARY_FAILURE])
def test_a_further_child_sa_is_refused(kind):
    bench, peer, request = asks_for_more()
    assert answer(bench, peer, request, [notify(kind)]) == []
    assert bench.states == ["established"] and list(bench.daemon.outbound) == [OLD]
    (data,) = bench.wait(3)[:1]
    assert peer.open(data).ranges(TSI) == ["10.1.1.0-10.1.1.255"]


# -------------------------------------------------------------------------------------- 1.2.6 rekeying the IKE SA

@case("{EN,SGW}.I.1.2.6-a", "the IKE SA is rekeyed: every field of the request", "1.3.2, 2.18")
@BOTH_ROLES
def test_the_request_to_rekey_the_ike_sa(up):
    _bench, peer, request = rekeys_ike(up)
    assert request.exchange == CREATE_CHILD_SA and request.from_initiator is not peer.initiator
    assert request.kinds == [SA, NONCE, KE]
    ((number, protocol, spi, transforms),) = request.proposals
    assert (number, protocol, len(spi), transforms) == (1, IKE, 8, list(SUITE))


@case("{EN,SGW}.I.1.2.6-b", "the IKE SA is rekeyed: keys, message identifiers from 0, child SAs that move, then DELETE",
      "2.8, 2.18")
@BOTH_ROLES
def test_the_ike_sa_is_rekeyed(up):
    bench, peer, request = rekeys_ike(up)
    (data,) = answer(bench, peer, request, new_ike(peer))
    told = peer.open(data)
    assert told.deleted == [(IKE, ())] and bench.states == ["closing", "established"]
    new = asked_by_daemon(peer, request)
    assert answer(bench, peer, told, []) == [] and bench.states == ["established"]
    assert new.open(bench.ask(new.seal(INFORMATIONAL, message_id=0))).rows == ()
    (data,) = bench.wait(20.2)
    asked = new.open(data)
    assert (asked.message_id, asked.flags) == (0, 0x08) and list(bench.daemon.outbound) == [OLD]


@case("{EN,SGW}.I.1.2.6-c", "INVALID_KE_PAYLOAD in a rekey of the IKE SA: again with the group it names", "1.3")
def test_another_group_in_a_rekey_of_the_ike_sa():
    declared = ({**TRANSFORM}, {**TRANSFORM, "name": "p1b", "key_group": 14})
    bench, peer, request = rekeys_ike(transforms=declared)
    (data,) = answer(bench, peer, request, [notify(INVALID_KE_PAYLOAD, struct.pack(">H", 14))])
    again = peer.open(data)
    assert again.body(KE)[:2] == struct.pack(">H", 14) and again.message_id == request.message_id + 1


@case("{EN,SGW}.I.1.2.6-d", "a rekey of the IKE SA that is refused leaves it up, and is tried again", "2.8, 2.25.2")
@pytest.mark.parametrize("kind", [TEMPORARY_FAILURE, NO_PROPOSAL_CHOSEN, 16383])
def test_a_rekey_of_the_ike_sa_is_refused(kind):
    bench, peer, request = rekeys_ike()
    assert answer(bench, peer, request, [notify(kind)]) == [] and bench.states == ["established"]
    (data,) = bench.wait(8)[:1]
    assert peer.open(data).kinds == [SA, NONCE, KE] and list(bench.daemon.outbound) == [OLD]


@case("{EN,SGW}.I.1.2.6-e", "an answer to a rekey of the IKE SA that cannot be used: closed, and the peer is told",
      "2.21.3")
@pytest.mark.parametrize("rows", [
    [sa(proposal(((ENCR, 12, 128), *SUITE[1:]), spi=b"\x11" * 8)), nonce(HIGH), ke(bytes([9] * 32))],
    [sa(proposal()), nonce(HIGH), ke(bytes([9] * 32))],
    [sa(proposal(spi=b"\x11" * 8)), nonce(HIGH), ke(bytes(32))],
    [sa(proposal(spi=b"\x11" * 8)), nonce(HIGH), ke(bytes(256), 14)],
    [sa(proposal(spi=b"\x11" * 8)), nonce(HIGH)]],
    ids=["another suite", "no SPI", "weak value", "another group", "no value"])
def test_an_answer_to_a_rekey_of_the_ike_sa_that_cannot_be_used(rows):
    bench, peer, request = rekeys_ike()
    sent = answer(bench, peer, request, rows)
    assert peer.open(sent[0]).deleted == [(IKE, ())] and not bench.daemon.inbound
    assert "established" not in bench.states and "closing" not in bench.states


@case("{EN,SGW}.I.1.2.6.5", "both ends rekey the IKE SA at once: its creator closes the one with the lowest nonce",
      "2.8.2")
@pytest.mark.parametrize(("number", "stays"), [(LOW, "the daemon's"), (HIGH, "the tester's")])
def test_both_ends_rekey_the_ike_sa(number, stays):
    bench, peer, request = rekeys_ike()
    rows = new_ike(peer, number=number)
    theirs = asked_by_tester(peer, rows, peer.open(bench.ask(peer.seal(CREATE_CHILD_SA, rows))))
    granted = new_ike(peer, spi=b"\x33" * 8, number=HIGH if number == LOW else LOW)
    sent = answer(bench, peer, request, granted)
    ours = peer.successor(initiator=False, spi_i=request.proposals[0][2], spi_r=b"\x33" * 8,
                          nonce_i=request.body(NONCE), nonce_r=granted[1].body, shared=peer.shared_secret(request))
    (data,) = sent
    loser, winner = (theirs, ours) if stays == "the daemon's" else (ours, theirs)
    if stays == "the daemon's":
        told = peer.open(data)
        assert told.deleted == [(IKE, ())] and answer(bench, peer, told, []) == []
        assert loser.open(bench.ask(loser.seal(INFORMATIONAL, [delete(IKE)]))).rows == ()
    else:
        told = loser.open(data)
        assert told.deleted == [(IKE, ())] and answer(bench, loser, told, []) == []
        assert peer.open(bench.ask(peer.seal(INFORMATIONAL, [delete(IKE)]))).rows == ()
    assert bench.states == ["established"]
    asked = winner.open(bench.ask(winner.seal(INFORMATIONAL, [delete(ESP, CHILD_SPI)])))
    assert [row[0] for row in asked.deleted] == [ESP] and not bench.daemon.inbound


@case("{EN,SGW}.I.1.2.6-f", "both ends rekey a child SA at once: its creator closes the one with the lowest nonce",
      "2.8.1")
@pytest.mark.parametrize("number", [LOW, HIGH], ids=["the daemon's stays", "the tester's stays"])
def test_both_ends_rekey_a_child_sa(number):
    bench, peer, request = rekeys_child()
    (old,) = bench.daemon.inbound
    theirs = peer.open(bench.ask(peer.seal(CREATE_CHILD_SA, rekeyed_child(peer, number=number))))
    other = b"\xca\xfe\x00\x03"
    sent = answer(bench, peer, request, grant(peer, spi=other, number=HIGH if number == LOW else LOW))
    (data,) = sent
    told = peer.open(data)
    if number == LOW:  # the tester's own goes, and the daemon deletes the old one
        assert told.deleted == [(ESP, (old.to_bytes(4, "big"),))]
        answer(bench, peer, told, [delete(ESP, CHILD_SPI)])
        bench.ask(peer.seal(INFORMATIONAL, [delete(ESP, NEW_SPI)]))
        assert list(bench.daemon.outbound) == [int.from_bytes(other, "big")]
    else:
        assert told.deleted == [(ESP, (request.proposals[0][2],))]
        answer(bench, peer, told, [delete(ESP, other)])
        bench.ask(peer.seal(INFORMATIONAL, [delete(ESP, CHILD_SPI)]))
        assert list(bench.daemon.outbound) == [NEW]
        assert list(bench.daemon.inbound) == [int.from_bytes(theirs.proposals[0][2], "big")]


@case("{EN,SGW}.I.1.2.6.9", "a child SA is rekeyed of which the daemon has not heard yet: TEMPORARY_FAILURE", "2.25.1")
def test_a_child_sa_that_the_daemon_does_not_know_yet():
    bench, peer, request = rekeys_child()
    rows = rekeyed_child(peer, old=NEW_SPI, spi=b"\xca\xfe\x00\x03")
    assert peer.open(bench.ask(peer.seal(CREATE_CHILD_SA, rows))).notes == [TEMPORARY_FAILURE]
    assert len(answer(bench, peer, request, grant(peer))) == 1 and NEW in bench.daemon.outbound


@case("{EN,SGW}.I.1.2.6-g", "the new child SA is deleted before its answer comes: it is not installed", "2.8.1, 2.25")
def test_a_child_sa_that_is_deleted_before_its_answer_comes():
    bench, peer, request = rekeys_child()
    assert peer.open(bench.ask(peer.seal(INFORMATIONAL, [delete(ESP, NEW_SPI)]))).rows == ()
    answer(bench, peer, request, grant(peer))
    assert list(bench.daemon.outbound) == [OLD]


@case("{EN,SGW}.I.1.2.6.11", "a child SA is rekeyed or asked for while the daemon rekeys the IKE SA: TEMPORARY_FAILURE",
      "2.25.2")
@pytest.mark.parametrize("asked", [rekeyed_child, new_child])
def test_a_child_sa_while_the_ike_sa_is_rekeyed(asked):
    bench, peer, _request = rekeys_ike()
    assert peer.open(bench.ask(peer.seal(CREATE_CHILD_SA, asked(peer)))).notes == [TEMPORARY_FAILURE]


@case("{EN,SGW}.I.1.2.6.12", "the IKE SA is rekeyed while the daemon closes a child SA: TEMPORARY_FAILURE", "2.25.2")
def test_the_ike_sa_is_rekeyed_while_a_child_sa_closes():
    bench, peer = initiated()
    bench.manager.terminate("peer", bench.now, tunnel="lan")
    bench.wait(0.1)
    assert peer.open(bench.ask(peer.seal(CREATE_CHILD_SA, new_ike(peer)))).notes == [TEMPORARY_FAILURE]


@case("{EN,SGW}.I.1.2.6.15", "either SA is rekeyed while the daemon closes the IKE SA: TEMPORARY_FAILURE",
      "2.25.2")
@pytest.mark.parametrize("asked", [new_ike, rekeyed_child, new_child])
def test_a_rekey_while_the_ike_sa_closes(asked):
    bench, peer = initiated()
    bench.manager.terminate("peer", bench.now)
    bench.wait(0.1)
    assert peer.open(bench.ask(peer.seal(CREATE_CHILD_SA, asked(peer)))).notes == [TEMPORARY_FAILURE]
    assert bench.states == ["closing"]


@case("{EN,SGW}.I.1.2.6-h", "both ends close a child SA at once: the daemon's answer names no SPI", "1.4.1, 2.25.1")
def test_both_ends_close_a_child_sa():
    bench, peer = initiated()
    bench.manager.terminate("peer", bench.now, tunnel="lan")
    (data,) = bench.wait(0.1)
    told = peer.open(data)
    assert peer.open(bench.ask(peer.seal(INFORMATIONAL, [delete(ESP, CHILD_SPI)]))).rows == ()
    assert answer(bench, peer, told, []) == []
    assert bench.states == ["established"] and not bench.daemon.inbound and not bench.daemon.outbound


@case("{EN,SGW}.I.1.2.6-i", "both ends close the IKE SA at once: an empty answer, and nothing is left", "1.4.1, 2.25.2")
def test_both_ends_close_the_ike_sa():
    bench, peer = initiated()
    bench.manager.terminate("peer", bench.now)
    bench.wait(0.1)
    assert peer.open(bench.ask(peer.seal(INFORMATIONAL, [delete(IKE)]))).rows == ()
    assert bench.states == [] and bench.wait(30) == []


@case("{EN,SGW}.I.1.2.6-j", "one request at a time: the next begins when the one before it has been answered", "2.3")
def test_the_window_is_one():
    bench, peer, request = rekeys_child()
    bench.manager.rekey_ike("peer", bench.now)
    assert bench.wait(0.3) == []
    first, *others = answer(bench, peer, request, grant(peer))
    assert others == [] and peer.open(first).message_id == request.message_id + 1
