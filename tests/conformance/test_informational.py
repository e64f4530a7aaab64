# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""INFORMATIONAL in both roles, and what holds for every exchange of an IKE SA that is up. Numbers that end in a letter:
see docs/conformance.md."""

from __future__ import annotations

import pytest

from tests.conformance.bench import CHILD_SPI, NEW_SPI, Bench, answered, child_rows, initiated, new_child, scripted
from tests.conformance.outline import case
from tests.conformance.peer import (
    AH,
    AUTHENTICATION_FAILED,
    CREATE_CHILD_SA,
    ESP,
    IKE,
    IKE_AUTH,
    INFORMATIONAL,
    INVALID_SYNTAX,
    NOTIFY,
    UNSUPPORTED_CRITICAL_PAYLOAD,
    Row,
    delete,
    nonce,
    notify,
)

TWO_ROUTES = (("10.1.0.0/24", "10.2.0.0/24"), ("10.1.1.0/24", "10.2.1.0/24"))
BOTH_ROLES = pytest.mark.parametrize("up", [answered, initiated], ids=["IKE SA by the tester", "IKE SA by the daemon"])


def ask(bench, peer, rows=(), **changes):
    return peer.open(bench.ask(peer.seal(INFORMATIONAL, rows, **changes)))


def two_children():
    """Two child SAs; the tester receives by CHILD_SPI and NEW_SPI."""
    bench, peer = answered(routes=TWO_ROUTES)
    bench.ask(peer.seal(CREATE_CHILD_SA, new_child(peer, here="10.2.1.0/24", there="10.1.1.0/24")))
    return bench, peer, [spi.to_bytes(4, "big") for spi in bench.daemon.inbound]


# -------------------------------------------------------------------------------------- 1.3.1 - 1.3.3

@case("{EN,SGW}.R.1.3.1-a", "every field of the response to an empty request, and to the next one", "1.4, 3.1")
@BOTH_ROLES
def test_empty_requests(up):
    bench, peer = up()
    for number in range(peer.next_id, peer.next_id + 3):
        answer = ask(bench, peer)
        assert (answer.spi_i, answer.spi_r, answer.version) == (peer.spi_i, peer.spi_r, 0x20)
        assert (answer.exchange, answer.message_id, answer.rows) == (INFORMATIONAL, number, ())
        assert answer.flags == (0x20 if peer.initiator else 0x28)


@case("{EN,SGW}.R.1.3.2.1", "the same response again, octet for octet", "1.4, 2.1")
@BOTH_ROLES
def test_a_retransmitted_request(up):
    bench, peer = up()
    request = peer.seal(INFORMATIONAL)
    answer = bench.ask(request)
    assert bench.wait(5) == [] and bench.ask(request) == answer


@case("{EN,SGW}.R.1.3.3.1", "RESERVED fields are ignored", "2.5, 3.1, 3.2")
def test_reserved_fields():
    bench, peer = answered()
    odd = Row(NOTIFY, notify(40000).body, reserved=0x7F)
    assert ask(bench, peer, [odd], reserved=0x7F, extra_flags=0xC7).rows == ()
    assert bench.states == ["established"]


@case("{EN,SGW}.I.1.3.2.1", "the same request again, octet for octet, until the peer's retries are over", "1.4, 2.1")
def test_a_request_is_retransmitted():
    bench, _peer = initiated()
    (data,) = bench.wait(20.2)
    assert bench.wait(2) == [data, data]


@case("{EN,SGW}.I.1.3.2.2", "an answered request is not sent again", "1.4, 2.1")
def test_a_request_is_not_sent_again():
    bench, peer = initiated()
    (data,) = bench.wait(20.2)
    assert bench.give(peer.seal(INFORMATIONAL, response=True, message_id=peer.open(data).message_id)) == []
    assert bench.wait(15) == []


# -------------------------------------------------------------------------------------- DELETE

@case("{EN,SGW}.R.1.3-a", "a DELETE of several SPIs is answered with those of the other directions", "1.4.1")
def test_several_spis_in_one_delete():
    bench, peer, spis = two_children()
    answer = ask(bench, peer, [delete(ESP, CHILD_SPI, NEW_SPI)])
    assert [(protocol, sorted(row)) for protocol, row in answer.deleted] == [(ESP, sorted(spis))]
    assert not bench.daemon.inbound and bench.states == ["established"]


@case("{EN,SGW}.R.1.3-b", "several DELETE payloads in one message are all heeded", "1.4.1, 3.11")
def test_several_deletes():
    bench, peer, spis = two_children()
    answer = ask(bench, peer, [delete(ESP, CHILD_SPI), delete(ESP, NEW_SPI)])
    assert sorted(spi for _protocol, row in answer.deleted for spi in row) == sorted(spis)
    assert not bench.daemon.inbound


@case("{EN,SGW}.R.1.3-c", "a DELETE of SPIs that are not there is answered without them", "1.4.1")
def test_spis_that_are_not_there():
    bench, peer, spis = two_children()
    assert ask(bench, peer, [delete(ESP, b"\x0b\xad\xf0\x0d")]).rows == ()
    answer = ask(bench, peer, [delete(ESP, b"\x0b\xad\xf0\x0d", CHILD_SPI)])
    assert answer.deleted == [(ESP, (spis[0],))] and len(bench.daemon.inbound) == 1


@case("{EN,SGW}.R.1.3-d", "a DELETE of the other protocol's SPI closes nothing", "1.4.1, 3.11")
def test_a_delete_of_another_protocol():
    bench, peer = answered()
    assert ask(bench, peer, [delete(AH, CHILD_SPI)]).rows == () and len(bench.daemon.inbound) == 1


@case("{EN,SGW}.R.1.3-e", "a DELETE with the SPI that the daemon receives on closes nothing", "1.4.1")
def test_a_delete_of_the_wrong_direction():
    bench, peer = answered()
    (own,) = bench.daemon.inbound
    assert ask(bench, peer, [delete(ESP, own.to_bytes(4, "big"))]).rows == () and list(bench.daemon.inbound) == [own]


@case("{EN,SGW}.R.1.3-f", "a DELETE of the IKE SA beside others ends it, with an empty response", "1.4.1")
@BOTH_ROLES
def test_a_delete_of_everything(up):
    bench, peer = up()
    assert ask(bench, peer, [delete(ESP, CHILD_SPI), delete(IKE)]).rows == ()
    assert "established" not in bench.states and not bench.daemon.inbound


@case("{EN,SGW}.R.1.3-g", "a DELETE that breaks its own syntax: INVALID_SYNTAX, and the IKE SA is gone", "2.21.3, 3.11")
@pytest.mark.parametrize("body", [b"", b"\x03\x04\x00\x02\xca\xfe\x00\x01", b"\x03\x08\x00\x01" + bytes(8),
                                  b"\x63\x04\x00\x01\xca\xfe\x00\x01"],
                         ids=["empty", "one SPI too few", "SPIs of 8 octets", "protocol 99"])
def test_a_delete_that_is_malformed(body):
    bench, peer = answered()
    answer = ask(bench, peer, [Row(42, body)])
    assert answer.notes == [INVALID_SYNTAX] and bench.states == []


# -------------------------------------------------------------------------------------- notifications, payloads

@case("{EN,SGW}.R.1.3-h", "AUTHENTICATION_FAILED from the peer ends the IKE SA", "2.21.2")
def test_authentication_failed():
    bench, peer = answered()
    assert ask(bench, peer, [notify(AUTHENTICATION_FAILED)]).rows == () and bench.states == []


@case("{EN,SGW}.R.1.3-i", "other notifications are answered by an empty response, and change nothing", "1.4, 1.5, 3.10")
@pytest.mark.parametrize("row", [notify(11, b"\x0b\xad\xf0\x0d"), notify(9, bytes(4)), notify(16384), notify(16393),
                                 notify(16403, bytes(4)), notify(39, bytes(40), protocol=ESP, spi=CHILD_SPI)],
                         ids=["INVALID_SPI", "INVALID_MESSAGE_ID", "INITIAL_CONTACT", "REKEY_SA", "AUTH_LIFETIME",
                              "INVALID_SELECTORS"])
def test_other_notifications(row):
    bench, peer = answered()
    assert ask(bench, peer, [row]).rows == ()
    assert bench.states == ["established"] and len(bench.daemon.inbound) == 1


@case("{EN,SGW}.R.1.3-j", "payloads out of place are skipped", "1.4, 2.5")
@pytest.mark.parametrize("row", [nonce(bytes(32)), Row(33, b"\x00\x00\x00\x08\x01\x01\x00\x00"), Row(1, b"odd"),
                                 Row(43, b"vendor")], ids=["nonce", "SA", "unknown", "vendor id"])
def test_payloads_out_of_place(row):
    bench, peer = answered()
    assert ask(bench, peer, [row]).rows == () and bench.states == ["established"]


@case("{EN,SGW}.R.1.3-k", "an unknown critical payload: UNSUPPORTED_CRITICAL_PAYLOAD, and nothing beside it is done",
      "2.5")
@pytest.mark.parametrize("kind", [1, 32, 49, 255])
def test_an_unknown_critical_payload(kind):
    bench, peer = answered()
    answer = ask(bench, peer, [delete(ESP, CHILD_SPI), Row(kind, critical=True)])
    assert answer.note(UNSUPPORTED_CRITICAL_PAYLOAD).data == bytes([kind])
    assert bench.states == ["established"] and len(bench.daemon.inbound) == 1
    assert ask(bench, peer).rows == ()


# -------------------------------------------------------------------------------------- message identifiers, roles

@case("{EN,SGW}.R.1.3-l", "requests outside the window of one are dropped", "2.2, 2.3")
@pytest.mark.parametrize("ahead", [-2, -1, 1, 2, 1000])
def test_requests_outside_the_window(ahead):
    bench, peer = answered()
    ask(bench, peer)
    assert bench.give(peer.seal(INFORMATIONAL, message_id=peer.next_id + ahead)) == []
    assert bench.counters == {"unexpected_request": 1} and ask(bench, peer).rows == ()


@case("{EN,SGW}.R.1.3-m", "a message whose Initiator flag says that the daemon sent it is dropped", "3.1")
@BOTH_ROLES
def test_the_initiator_flag(up):
    bench, peer = up()
    flags = 0x00 if peer.initiator else 0x08
    assert bench.give(peer.seal(INFORMATIONAL, message_id=peer.next_id, flags=flags)) == []
    assert bench.counters == {"unknown_spi": 1} and ask(bench, peer).rows == ()


@case("{EN,SGW}.R.1.3-n", "the daemon's own message, sent back to it, is dropped", "3.1")
@BOTH_ROLES
def test_a_reflected_message(up):
    bench, peer = up()
    data = bench.ask(peer.seal(INFORMATIONAL))
    assert bench.give(data) == [] and bench.states == ["established"]


@case("{EN,SGW}.R.1.3-o", "an exchange that does not exist, or is over: INVALID_SYNTAX, and the IKE SA serves on",
      "2.21.3")
@pytest.mark.parametrize("exchange", [0, 33, IKE_AUTH, 38, 42, 240, 255])
def test_exchanges_that_are_none(exchange):
    bench, peer = answered()
    answer = peer.open(bench.ask(peer.seal(exchange)))
    assert (answer.exchange, answer.notes) == (exchange, [INVALID_SYNTAX])
    assert bench.states == ["established"] and ask(bench, peer).rows == ()


@case("{EN,SGW}.I.1.3-a", "responses that answer nothing are dropped", "2.1, 2.2")
@pytest.mark.parametrize("message_id", [0, 1, 2, 3, 2**32 - 1])
@pytest.mark.parametrize("exchange", [IKE_AUTH, CREATE_CHILD_SA, INFORMATIONAL, 240])
def test_responses_that_answer_nothing(exchange, message_id):
    bench, peer = initiated()
    assert bench.give(peer.seal(exchange, [delete(IKE)], response=True, message_id=message_id)) == []
    assert bench.counters == {"unexpected_response": 1} and bench.states == ["established"]


@case("{EN,SGW}.I.1.3-b", "a response of another exchange or identifier, or not authentic, is waited past", "2.1, 2.2")
@pytest.mark.parametrize("wrong", [{"exchange": CREATE_CHILD_SA}, {"message_id": 3}, {"message_id": 1}, {"spoil": -1},
                                   {"spoil": 40}], ids=str)
def test_responses_to_be_waited_past(wrong):
    bench, peer = initiated()
    (data,) = bench.wait(20.2)
    fields = {"exchange": INFORMATIONAL, "message_id": 2, **wrong}
    assert bench.give(peer.seal(fields.pop("exchange"), response=True, **fields)) == []
    assert bench.states == ["established"] and sum(bench.counters.values()) == 1
    assert data in bench.wait(1)
    assert bench.give(peer.seal(INFORMATIONAL, response=True, message_id=2)) == [] and bench.wait(10) == []


@case("{EN,SGW}.I.1.3-c", "payloads in a response that need not be there are skipped", "1.4, 2.5")
@pytest.mark.parametrize("row", [Row(1, b"odd"), notify(40000), notify(16383), delete(ESP, CHILD_SPI)],
                         ids=["unknown", "status", "error", "DELETE"])
def test_payloads_in_a_response(row):
    bench, peer = initiated()
    bench.wait(20.2)
    assert bench.give(peer.seal(INFORMATIONAL, [row], response=True, message_id=2)) == []
    assert bench.states == ["established"] and len(bench.daemon.inbound) == 1


@case("{EN,SGW}.I.1.3-d", "an authentic response that is malformed: the IKE SA is closed, and the peer is told",
      "2.21.3")
def test_a_response_that_is_malformed():
    bench, peer = initiated()
    bench.wait(20.2)
    data = peer.seal(INFORMATIONAL, response=True, message_id=2, first=NOTIFY, plaintext=b"\x00\x00\x00\x03")
    sent = bench.give(data)
    assert peer.open(sent[0]).deleted == [(IKE, ())] and not bench.daemon.inbound


@case("{EN,SGW}.I.1.3-e", "a peer behind a NAT that moves is followed by what is authentic, and by nothing else",
      "2.23")
def test_a_mapping_that_moves():
    bench, peer = answered_behind_nat()
    (child,) = bench.daemon.inbound.values()
    bench.give(peer.seal(INFORMATIONAL, spoil=-1, message_id=2), source_port=50001, port=4500)
    assert bench.manager.overview.gateways()[0].ike[0].remote.port == 4500
    ask_from = {"source_port": 50002, "port": 4500}
    peer.open(bench.ask(peer.seal(INFORMATIONAL), **ask_from))
    assert bench.manager.overview.gateways()[0].ike[0].remote.port == 50002 and child.udp_encapsulated


def answered_behind_nat():
    """As `answered`, with a NAT before the tester."""
    bench, peer = Bench(starts=False), scripted(initiator=True)
    peer.take_init_response(bench.ask(peer.init_request([*peer.init_rows(), *peer.nat_rows(behind_nat=True)])))
    peer.open(bench.ask(peer.seal(IKE_AUTH, peer.auth_rows(child_rows(peer))), source_port=4500, port=4500))
    return bench, peer
