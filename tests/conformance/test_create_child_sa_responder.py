# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemon as responder of CREATE_CHILD_SA. Numbers that end in a letter: see docs/conformance.md."""

from __future__ import annotations

import struct

import pytest

from tests.conformance.bench import (
    CHILD_SPI,
    HERE,
    NEW_SPI,
    THERE,
    answered,
    asked_by_tester,
    initiated,
    new_child,
    new_ike,
    rekeyed_child,
)
from tests.conformance.outline import case
from tests.conformance.peer import (
    CHILD_SA_NOT_FOUND,
    CHILD_SUITE,
    CREATE_CHILD_SA,
    DH,
    ENCR,
    ESN,
    ESP,
    IKE,
    INFORMATIONAL,
    INVALID_KE_PAYLOAD,
    INVALID_SYNTAX,
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
    USE_TRANSPORT_MODE,
    X25519,
    Row,
    delete,
    ke,
    nonce,
    notify,
    proposal,
    sa,
)
from tests.support.virtual_network import TRANSFORM

TWO_ROUTES = (("10.1.0.0/24", "10.2.0.0/24"), ("10.1.1.0/24", "10.2.1.0/24"))
BOTH_ROLES = pytest.mark.parametrize("up", [answered, initiated], ids=["IKE SA by the tester", "IKE SA by the daemon"])


def ask(bench, peer, rows):
    return peer.open(bench.ask(peer.seal(CREATE_CHILD_SA, rows)))


def serves_on(bench, peer):
    """The IKE SA is up as it was, and its first child SA too."""
    assert peer.open(bench.ask(peer.seal(INFORMATIONAL))).rows == ()
    return list(bench.daemon.outbound) == [int.from_bytes(CHILD_SPI, "big")] and len(bench.daemon.inbound) == 1


# -------------------------------------------------------------------------------------- 1.2.1, 1.2.2

@case("{EN,SGW}.R.1.2.1.1", "a child SA is rekeyed: every field of the response, and its keys", "1.3.3, 2.8, 2.17")
@BOTH_ROLES
def test_a_child_sa_is_rekeyed(up):
    bench, peer = up()
    request = rekeyed_child(peer)
    number = peer.next_id
    answer = ask(bench, peer, request)
    assert (answer.exchange, answer.message_id, answer.is_response) == (CREATE_CHILD_SA, number, True)
    assert answer.from_initiator is not peer.initiator
    assert answer.kinds == [SA, NONCE, KE, TSI, TSR]
    ((chosen, protocol, spi, transforms),) = answer.proposals
    assert (chosen, protocol, set(transforms)) == (1, ESP, set(PFS_SUITE))
    assert answer.ranges(TSI) == ["10.2.0.0-10.2.0.255"] and answer.ranges(TSR) == ["10.1.0.0-10.1.0.255"]
    child = bench.daemon.inbound[int.from_bytes(spi, "big")]
    keys_i, keys_r = peer.child_keys(request[2].body, answer.body(NONCE), peer.shared_secret(answer))
    assert (child.keys_in.encryption, child.keys_out.encryption) == (keys_i, keys_r)
    assert len(bench.daemon.inbound) == 2 and list(bench.daemon.outbound) == [int.from_bytes(CHILD_SPI, "big")]


@case("{EN,SGW}.R.1.2.1-a", "the rekeyed child SA goes when its DELETE comes, and sending moves to the new one", "2.8")
@BOTH_ROLES
def test_the_rekeyed_child_sa_is_deleted(up):
    bench, peer = up()
    (old,) = bench.daemon.inbound
    ask(bench, peer, rekeyed_child(peer))
    answer = peer.open(bench.ask(peer.seal(INFORMATIONAL, [delete(ESP, CHILD_SPI)])))
    assert answer.deleted == [(ESP, (old.to_bytes(4, "big"),))]
    assert list(bench.daemon.outbound) == [int.from_bytes(NEW_SPI, "big")] and old not in bench.daemon.inbound


@case("{EN,SGW}.R.1.2.2.1", "the same response again, octet for octet, and one new child SA", "2.1")
def test_a_retransmitted_request():
    bench, peer = answered()
    request = peer.seal(CREATE_CHILD_SA, rekeyed_child(peer))
    answer = bench.ask(request)
    assert bench.wait(3) == []
    assert bench.ask(request) == answer and len(bench.daemon.inbound) == 2


# -------------------------------------------------------------------------------------- 1.2.4 algorithms, PFS

@case("{EN,SGW}.R.1.2.4-a", "of many proposals and transforms one is chosen, with its SPI", "2.7, 3.3")
def test_many_proposals():
    bench, peer = answered()
    rows = rekeyed_child(peer)
    many = ((ENCR, 20, 256), (ENCR, 20, 128), (DH, 14, None), (DH, X25519, None), (ESN, 0, None))
    rows[1] = sa(proposal(CHILD_SUITE, protocol=ESP, spi=b"\xca\xfe\x00\x09", last=False),
                 proposal(many, number=2, protocol=ESP, spi=NEW_SPI))
    answer = ask(bench, peer, rows)
    ((number, _protocol, _spi, transforms),) = answer.proposals
    assert number == 2 and set(transforms) == set(PFS_SUITE)


@case("{EN,SGW}.R.1.2.4-b", "a key exchange of another group: INVALID_KE_PAYLOAD with ours, and the next try succeeds",
      "1.3, 2.7")
def test_a_key_exchange_of_another_group():
    bench, peer = answered()
    offers = sa(proposal(((ENCR, 20, 128), (DH, 14, None), (DH, X25519, None), (ESN, 0, None)), protocol=ESP,
                         spi=NEW_SPI))
    rows = rekeyed_child(peer)
    answer = ask(bench, peer, [rows[0], offers, rows[2], ke(bytes(256), 14), *rows[4:]])
    assert answer.kinds == [NOTIFY] and answer.note(INVALID_KE_PAYLOAD).data == struct.pack(">H", X25519)
    assert serves_on(bench, peer)
    assert ask(bench, peer, [rows[0], offers, *rows[2:]]).kinds == [SA, NONCE, KE, TSI, TSR]


@case("{EN,SGW}.R.1.2.4-c", "no PFS where it is declared: NO_PROPOSAL_CHOSEN, and the old child SA stays", "1.3, 2.7")
def test_no_pfs_where_it_is_declared():
    bench, peer = answered()
    rows = rekeyed_child(peer)
    rows[1:4] = [sa(proposal(CHILD_SUITE, protocol=ESP, spi=NEW_SPI)), rows[2]]
    assert ask(bench, peer, rows).notes == [NO_PROPOSAL_CHOSEN] and serves_on(bench, peer)


@case("{EN,SGW}.R.1.2.4-d", "PFS where none is declared: NO_PROPOSAL_CHOSEN, and the old child SA stays", "1.3, 2.7")
def test_pfs_where_none_is_declared():
    bench, peer = answered(pfs={"enabled": False})
    assert ask(bench, peer, rekeyed_child(peer)).notes == [NO_PROPOSAL_CHOSEN] and serves_on(bench, peer)


@case("{EN,SGW}.R.1.2.4-e", "without PFS at both ends the nonces alone make the keys", "2.17")
def test_no_pfs_at_both_ends():
    bench, peer = answered(pfs={"enabled": False})
    rows = rekeyed_child(peer)
    rows[1:4] = [sa(proposal(CHILD_SUITE, protocol=ESP, spi=NEW_SPI)), rows[2]]
    answer = ask(bench, peer, rows)
    assert answer.kinds == [SA, NONCE, TSI, TSR]
    child = bench.daemon.inbound[int.from_bytes(answer.proposals[0][2], "big")]
    keys = peer.child_keys(rows[2].body, answer.body(NONCE))
    assert (child.keys_in.encryption, child.keys_out.encryption) == keys


# -------------------------------------------------------------------------------------- 1.2.5 further child SAs

@case("{EN,SGW}.R.1.2.5-a", "a further child SA for another route", "1.3.1")
def test_a_further_child_sa():
    bench, peer = answered(routes=TWO_ROUTES)
    answer = ask(bench, peer, new_child(peer, here="10.2.1.0/24", there="10.1.1.0/24"))
    assert answer.ranges(TSR) == ["10.1.1.0-10.1.1.255"]
    assert set(bench.daemon.outbound) == {int.from_bytes(spi, "big") for spi in (CHILD_SPI, NEW_SPI)}


@case("{EN,SGW}.R.1.2.5-b", "a further child SA for what no route covers: TS_UNACCEPTABLE", "2.9, 2.21.3")
def test_a_further_child_sa_for_no_route():
    bench, peer = answered()
    answer = ask(bench, peer, new_child(peer, here="172.16.0.0/24"))
    assert answer.kinds == [NOTIFY] and answer.notes == [TS_UNACCEPTABLE] and serves_on(bench, peer)


@case("{EN,SGW}.R.1.2.5-c", "a further child SA without a common suite: NO_PROPOSAL_CHOSEN", "2.7, 2.21.3")
def test_a_further_child_sa_without_a_common_suite():
    bench, peer = answered()
    rows = new_child(peer)
    rows[0] = sa(proposal(((ENCR, 3, None), (DH, X25519, None), (ESN, 0, None)), protocol=ESP, spi=NEW_SPI))
    assert ask(bench, peer, rows).notes == [NO_PROPOSAL_CHOSEN] and serves_on(bench, peer)


@case("{EN,SGW}.R.1.2.5-d", "transport mode, IPCOMP and TFC padding that are asked for are declined in silence",
      "1.3.1, 2.22")
@pytest.mark.parametrize("row", [notify(USE_TRANSPORT_MODE), notify(16387, b"\x12\x34\x02"), notify(16394),
                                 notify(16395)], ids=["transport", "IPCOMP", "no TFC", "fragments"])
def test_options_that_are_declined(row):
    bench, peer = answered()
    answer = ask(bench, peer, [row, *rekeyed_child(peer)])
    assert answer.kinds == [SA, NONCE, KE, TSI, TSR]


# -------------------------------------------------------------------------------------- 1.2.6 rekeying the IKE SA

@case("{EN,SGW}.R.1.2.6.1", "the IKE SA is rekeyed: every field of the response, keys, and child SAs that move",
      "1.3.2, 2.8, 2.18")
@BOTH_ROLES
def test_the_ike_sa_is_rekeyed(up):
    bench, peer = up()
    children = dict(bench.daemon.inbound)
    request = new_ike(peer)
    answer = ask(bench, peer, request)
    assert answer.kinds == [SA, NONCE, KE]
    ((number, protocol, spi, transforms),) = answer.proposals
    assert (number, protocol, len(spi), transforms) == (1, IKE, 8, list(SUITE))
    assert bench.states == ["replaced", "established"]
    new = asked_by_tester(peer, request, answer)
    answer = new.open(bench.ask(new.seal(INFORMATIONAL)))
    assert (answer.message_id, answer.flags, answer.spi_i, answer.spi_r) == (0, 0x20, b"\x11" * 8, spi)
    assert bench.daemon.inbound == children
    assert peer.open(bench.ask(peer.seal(INFORMATIONAL, [delete(IKE)]))).rows == ()
    assert bench.states == ["established"] and bench.daemon.inbound == children
    assert new.open(bench.ask(new.seal(INFORMATIONAL, [delete(ESP, CHILD_SPI)]))).deleted
    assert not bench.daemon.inbound


@case("{EN,SGW}.R.1.2.6-a", "a child SA is asked of an IKE SA that was rekeyed: TEMPORARY_FAILURE", "2.25.2")
def test_a_child_sa_of_a_replaced_ike_sa():
    bench, peer = answered()
    ask(bench, peer, new_ike(peer))
    assert ask(bench, peer, rekeyed_child(peer)).notes == [TEMPORARY_FAILURE]
    assert ask(bench, peer, new_ike(peer)).notes == [TEMPORARY_FAILURE]


@case("{EN,SGW}.R.1.2.6-b", "a replaced IKE SA that nobody deletes goes by itself, and its child SAs stay", "2.8")
def test_a_replaced_ike_sa_that_nobody_deletes():
    bench, peer = answered()
    request = new_ike(peer)
    new = asked_by_tester(peer, request, ask(bench, peer, request))
    for _tick in range(7):
        bench.wait(10)
        new.open(bench.ask(new.seal(INFORMATIONAL)))
    assert bench.states == ["established"] and len(bench.daemon.inbound) == 1


@case("{EN,SGW}.R.1.2.6-c", "another group than ours in a rekey of the IKE SA: INVALID_KE_PAYLOAD, and it serves on",
      "1.3")
def test_another_group_in_a_rekey_of_the_ike_sa():
    bench, peer = answered()
    offers = sa(proposal((*SUITE[:3], (DH, 14, None), (DH, X25519, None)), spi=b"\x11" * 8))
    answer = ask(bench, peer, [offers, nonce(bytes(32)), ke(bytes(256), 14)])
    assert answer.note(INVALID_KE_PAYLOAD).data == struct.pack(">H", X25519) and serves_on(bench, peer)


@case("{EN,SGW}.R.1.2.6-d", "no suite in common in a rekey of the IKE SA: NO_PROPOSAL_CHOSEN, and it serves on", "2.7")
@pytest.mark.parametrize("offer", [proposal(((ENCR, 3, None), *SUITE[1:]), spi=b"\x11" * 8), proposal()],
                         ids=["3DES", "no SPI"])
def test_no_common_suite_in_a_rekey_of_the_ike_sa(offer):
    bench, peer = answered()
    answer = ask(bench, peer, [sa(offer), nonce(bytes(32)), ke(peer.public)])
    assert answer.notes == [NO_PROPOSAL_CHOSEN] and serves_on(bench, peer)


@case("{EN,SGW}.R.1.2.6-e", "a key exchange value that is no good: INVALID_SYNTAX, and the IKE SA is gone",
      "2.21.3, RFC 6989 2.5")
@pytest.mark.parametrize("value", [bytes(32), bytes(31), b""], ids=["weak", "short", "empty"])
def test_a_bad_key_exchange_value_in_a_rekey_of_the_ike_sa(value):
    bench, peer = answered()
    answer = ask(bench, peer, [sa(proposal(spi=b"\x11" * 8)), nonce(bytes(32)), ke(value)])
    assert answer.notes == [INVALID_SYNTAX] and bench.states == []


@case("{EN,SGW}.R.1.2.6-f", "a child SA is rekeyed that the daemon does not have: CHILD_SA_NOT_FOUND with its SPI",
      "2.25.1")
@pytest.mark.parametrize("spi", [b"\x0b\xad\xf0\x0d", b""], ids=["unknown", "none"])
def test_a_child_sa_that_is_not_there(spi):
    bench, peer = answered()
    answer = ask(bench, peer, rekeyed_child(peer, old=spi))
    assert answer.kinds == [NOTIFY] and answer.note(CHILD_SA_NOT_FOUND).spi == spi and serves_on(bench, peer)


@case("{EN,SGW}.R.1.2.6-g", "a child SA is rekeyed that the daemon is deleting: TEMPORARY_FAILURE", "2.25.1")
def test_a_child_sa_that_the_daemon_deletes():
    bench, peer = answered()
    bench.manager.terminate("peer", bench.now, tunnel="lan")
    bench.wait(0.1)
    assert ask(bench, peer, rekeyed_child(peer)).notes == [TEMPORARY_FAILURE]


@case("{EN,SGW}.R.1.2.6-h", "the IKE SA is rekeyed while the daemon rekeys or deletes a child SA: TEMPORARY_FAILURE",
      "2.25.2")
@pytest.mark.parametrize("order", [lambda bench: bench.manager.rekey_child("lan", bench.now),
                                   lambda bench: bench.manager.terminate("peer", bench.now, tunnel="lan")],
                         ids=["rekey", "delete"])
def test_the_ike_sa_is_rekeyed_amid_work_on_a_child_sa(order):
    bench, peer = answered()
    order(bench)
    bench.wait(0.1)
    assert ask(bench, peer, new_ike(peer)).notes == [TEMPORARY_FAILURE]


# -------------------------------------------------------------------------------------- 1.2.7 syntax

@case("{EN,SGW}.R.1.2.7-a", "CREATE_CHILD_SA without SA, nonce or selectors: INVALID_SYNTAX, and the IKE SA is gone",
      "1.3, 2.21.3")
@pytest.mark.parametrize("missing", [SA, NONCE, TSI, TSR])
def test_a_payload_is_missing(missing):
    bench, peer = answered()
    answer = ask(bench, peer, [row for row in rekeyed_child(peer) if row.kind != missing])
    assert answer.notes == [INVALID_SYNTAX] and bench.states == [] and not bench.daemon.inbound


@case("{EN,SGW}.R.1.2.7-b", "CREATE_CHILD_SA with two of what may be once: INVALID_SYNTAX, and the IKE SA is gone",
      "1.3, 2.21.3")
@pytest.mark.parametrize("twice", [SA, NONCE, KE, TSI, TSR])
def test_a_payload_is_there_twice(twice):
    bench, peer = answered()
    rows = rekeyed_child(peer)
    answer = ask(bench, peer, rows + [row for row in rows if row.kind == twice])
    assert answer.notes == [INVALID_SYNTAX] and bench.states == []


@case("{EN,SGW}.R.1.2.7-c", "the nonce has 16 to 256 octets", "2.10, 3.9")
@pytest.mark.parametrize(("size", "good"), [(15, False), (16, True), (256, True), (257, False)])
def test_the_size_of_the_nonce(size, good):
    bench, peer = answered()
    answer = ask(bench, peer, rekeyed_child(peer, number=bytes(size)))
    assert answer.kinds == ([SA, NONCE, KE, TSI, TSR] if good else [NOTIFY])
    assert bench.states == (["established"] if good else [])


@case("{EN,SGW}.R.1.2.7-d", "RESERVED fields and the order of payloads mean nothing", "2.5, 3.2, 3.3")
def test_reserved_fields_and_order():
    bench, peer = answered()
    rows = rekeyed_child(peer)
    rows[1] = sa(proposal(PFS_SUITE, protocol=ESP, spi=NEW_SPI, reserved=0xFF))
    rows[3] = ke(peer.public, reserved=0xFFFF)
    rows = [Row(row.kind, row.body, reserved=0x7F) for row in reversed(rows)]
    assert ask(bench, peer, rows).kinds == [SA, NONCE, KE, TSI, TSR]


@case("{EN,SGW}.R.1.2.7-e", "REKEY_SA with the IKE SA's protocol, or twice, ends in a refusal and no new child SA",
      "1.3.3")
@pytest.mark.parametrize("rows", [[notify(REKEY_SA, protocol=IKE, spi=b"\x22" * 8)],
                                  [notify(REKEY_SA, protocol=ESP, spi=b"\x0b\xad\xf0\x0d"),
                                   notify(REKEY_SA, protocol=ESP, spi=CHILD_SPI)]], ids=["IKE", "two"])
def test_odd_rekey_notifications(rows):
    bench, peer = answered()
    answer = ask(bench, peer, [*rows, *new_child(peer, here=HERE, there=THERE)])
    assert answer.notes == [CHILD_SA_NOT_FOUND] and len(bench.daemon.inbound) == 1


@case("{EN,SGW}.R.1.2.8-a", "a rekeyed IKE SA can be rekeyed again, by either end", "2.8, 2.18")
def test_one_rekey_after_another():
    bench, peer = answered(transforms=(TRANSFORM,))
    for _round in range(3):
        request = new_ike(peer)
        new = asked_by_tester(peer, request, ask(bench, peer, request))
        bench.ask(peer.seal(INFORMATIONAL, [delete(IKE)]))
        peer = new
    assert bench.states == ["established"] and serves_on(bench, peer)
