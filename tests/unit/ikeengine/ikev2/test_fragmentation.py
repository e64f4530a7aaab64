# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages in fragments (RFC 7383): what two ends send, what a bad network does to it, and what it may cost."""

from __future__ import annotations

import random
from ipaddress import ip_address

import pytest
from ikeengine.ike.context import Settings
from ikeengine.ikev2.fragmentation import MOST_FRAGMENTS, MOST_OCTETS, Reassembly, TooLarge, largest_message
from ikeengine.security_association import Datagram
from ikeengine.wire.constants import ExchangeType, NotifyType, PayloadType
from ikeengine.wire.header import decode_header
from ikeengine.wire.message import Encrypted, decode_message, encode_message
from ikeengine.wire.notify import Notify

from tests.support.virtual_network import TRANSFORM, Faults, agree, branch, hq, pair

SMALL = Settings(largest_datagram=160)
GCM = {**TRANSFORM, "encryption": "AES-GCM-256"}


def sealed(datagram: Datagram) -> Encrypted | None:
    return decode_message(datagram.data).encrypted


def fragments(network) -> list[Encrypted]:
    rows = (sealed(datagram) for _time, datagram in network.sent)
    return [row for row in rows if row is not None and row.total]


def totals(network) -> list[int]:
    """In how many fragments each message was sent, all of them in order."""
    rows = fragments(network)
    found = [row.total for row in rows if row.number == 1]
    assert [row.number for row in rows] == [number for total in found for number in range(1, total + 1)]
    return found


@pytest.mark.parametrize("transform", [TRANSFORM, GCM], ids=["CBC", "GCM"])
def test_a_message_that_is_too_large_travels_in_fragments(transform):
    options = {"transforms": (transform,)}
    network, one, other = pair(hq(**options), branch(start="answer", **options), settings=SMALL)
    network.start()
    network.run(1)
    agree(one, other, routes=1)
    request, response = totals(network)
    assert request > 2 and response > 1
    assert all(row.first_payload == 0 for row in fragments(network) if row.number > 1)
    for _time, datagram in network.sent:
        header = decode_header(datagram.data)
        if header.exchange == ExchangeType.IKE_SA_INIT:
            assert header.next_payload != PayloadType.ENCRYPTED_FRAGMENT
        else:
            assert len(datagram.data) + 20 + 8 + 4 <= 160


def test_nothing_of_the_usual_size_is_cut():
    network, one, other = pair(hq(), branch(start="answer"))
    network.start()
    network.run(1)
    agree(one, other, routes=1)
    assert fragments(network) == []
    assert len(network.sent) == 4


@pytest.mark.parametrize(("address", "octets"), [("192.0.2.1", 1280 - 20 - 8 - 4), ("2001:db8::1", 1280 - 40 - 8 - 4)])
def test_the_datagram_fits_into_ipv6_s_least_mtu_in_either_family(address, octets):
    assert largest_message(ip_address(address), Settings().largest_datagram) == octets


@pytest.mark.parametrize("silent", [0, 1], ids=["initiator", "responder"])
def test_an_end_that_does_not_announce_it_is_sent_none(silent):
    """Nor does it take any. (AUTH covers the notification, so no man in the middle gets further than this one.)"""
    network, one, _other = pair(hq(), branch(start="answer"), settings=SMALL)

    def strip(datagram: Datagram) -> Datagram:
        message = decode_message(datagram.data)
        header = message.header
        if header.exchange != ExchangeType.IKE_SA_INIT or header.is_response != bool(silent):
            return datagram
        kept = [row for row in message.payloads
                if not (isinstance(row, Notify) and row.notify_type == NotifyType.IKEV2_FRAGMENTATION_SUPPORTED)]
        data = encode_message(spi_i=header.spi_i, spi_r=header.spi_r, exchange=header.exchange, flags=header.flags,
                              message_id=header.message_id, payloads=kept)
        assert len(data) == len(datagram.data) - 8
        return Datagram(datagram.local, datagram.remote, data)

    network.tamper = strip
    network.start()
    network.run(0.2)
    initiator = network.sent[0][1].local
    assert all(row.total == 0 for _time, datagram in network.sent
               if datagram.local == initiator and (row := sealed(datagram)) is not None)
    assert bool(one.manager.counters["unexpected_fragment"]) == bool(silent)
    assert not one.inbound


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("faults", [Faults(drop=0.2), Faults(duplicate=0.4), Faults(reorder=0.5), Faults(corrupt=0.2),
                                    Faults(0.15, 0.2, 0.3, 0.1)],
                         ids=["drop", "duplicate", "reorder", "corrupt", "all"])
def test_a_bad_network_loses_no_fragmented_message(faults, seed):
    faults.until = 1030.0
    network, one, other = pair(hq(), branch(start="answer"), seed=seed, settings=SMALL, faults=faults)
    network.start()
    network.run(120)
    agree(one, other, routes=1)
    one.manager.rekey_child("lan", network.now)
    network.run(30)
    agree(one, other, routes=1)


def test_a_lost_fragment_is_made_good_by_sending_all_again():
    network, one, other = pair(hq(), branch(start="answer"), settings=SMALL)
    lost = []

    def lose(datagram: Datagram) -> Datagram | None:
        row = sealed(datagram)
        if row is not None and row.number == 2 and not lost:
            lost.append(datagram)
            return None
        return datagram

    network.tamper = lose
    network.start()
    network.run(2)
    agree(one, other, routes=1)
    first, again, _response = totals(network)
    assert first == again
    assert other.manager.counters["repeated_fragment"] == first - 1
    assert other.manager.counters["unexpected_request"] == 0


def test_a_request_that_comes_again_in_fragments_is_answered_once_again():
    network, one, other = pair(hq(), branch(start="answer"), settings=SMALL)
    lost = []

    def lose(datagram: Datagram) -> Datagram | None:
        row = sealed(datagram)
        if row is not None and decode_header(datagram.data).is_response and network.now < 1000.4:
            lost.append(datagram.data)
            return None
        return datagram

    network.tamper = lose
    network.start()
    network.run(2)
    agree(one, other, routes=1)
    answers = [datagram.data for _time, datagram in network.sent
               if sealed(datagram) is not None and decode_header(datagram.data).is_response]
    assert lost and answers == lost * 2, "the same octets, drawn by the first fragment alone"


def test_fragments_of_a_closed_ike_sa_s_last_request_are_answered_again():
    network, one, other = pair(hq(), branch(start="answer"), settings=Settings(largest_datagram=130))
    network.start()
    network.run(1)
    agree(one, other, routes=1)
    network.tamper = lambda datagram: None if decode_header(datagram.data).is_response else datagram
    one.manager.terminate("peer", network.now)
    network.run(0.2)
    network.tamper = lambda datagram: datagram
    network.run(3)
    assert one.closings and other.closings
    assert not any("silent" in reason for reason in one.reasons)


def test_the_peer_may_cut_a_message_anew_in_smaller_pieces():
    """RFC 7383 §2.5.2, §2.6: what came before is worth nothing then; fragments of the larger cut are dropped."""
    reassembly = Reassembly()
    first = Encrypted(35, b"", 36, 1, 2)
    assert reassembly.wants(1, first) and reassembly.add(1, first, b"old", b"AAAA") is None
    assert not reassembly.wants(1, first)
    smaller = [Encrypted(35 if number == 1 else 0, b"", 36, number, 3) for number in (1, 2, 3)]
    assert all(reassembly.wants(1, row) for row in smaller)
    assert reassembly.add(1, smaller[2], b"", b"33") is None
    assert not reassembly.wants(1, Encrypted(0, b"", 36, 2, 2)), "of the larger cut"
    assert reassembly.add(1, smaller[0], b"new", b"11") is None
    opened = reassembly.add(1, smaller[1], b"", b"22")
    assert (opened.plaintext, opened.data, opened.encrypted.first_payload) == (b"112233", b"new", 35)


def test_a_request_cut_anew_after_its_answer_is_answered_again():
    network, one, other = pair(hq(), branch(start="answer"), settings=SMALL)
    network.tamper = lambda datagram: None if decode_header(datagram.data).is_response and (
        sealed(datagram) is not None) else datagram
    network.start()
    network.run(0.3)
    session = next(iter(one.manager._sessions))
    outstanding = session.requests.outstanding
    smaller = session.protection.seal(
        [Notify(1000 + number, b"x" * 60) for number in range(6)], largest=120, spi_i=session.spi_i,
        spi_r=session.spi_r, exchange=ExchangeType.IKE_AUTH, flags=8, message_id=outstanding.message_id)
    assert len(smaller) > 3
    before = len(network.sent)
    for data in smaller:
        other.manager.receive(Datagram(session.remote, session.local, data), network.now)
    network.tamper = lambda datagram: datagram
    network.run(0.1)
    answers = [sealed(datagram) for _time, datagram in network.sent[before:]]
    assert [row.number for row in answers] == list(range(1, answers[0].total + 1))
    agree(one, other, routes=1)


def test_what_a_peer_may_make_us_keep_is_bounded():
    reassembly = Reassembly()
    with pytest.raises(TooLarge):
        reassembly.wants(1, Encrypted(35, b"", 36, 1, MOST_FRAGMENTS + 1))
    part = bytes(MOST_OCTETS // 4)
    for number in range(1, 5):
        reassembly.add(1, Encrypted(35, b"", 36, number, MOST_FRAGMENTS), b"", part)
    with pytest.raises(TooLarge):
        reassembly.add(1, Encrypted(35, b"", 36, 5, MOST_FRAGMENTS), b"", part)
    assert reassembly._parts == {}


def test_what_is_not_authentic_replaces_nothing_that_is_kept():
    network, one, other = pair(hq(), branch(start="answer"), settings=SMALL)

    def forge(datagram: Datagram) -> Datagram:
        """After the first fragment of a request, one of another cut that nobody with the keys has made."""
        row = sealed(datagram)
        if row is not None and row.number == 1 and not decode_header(datagram.data).is_response:
            data = bytearray(datagram.data)
            data[34:36] = (60).to_bytes(2, "big")
            network._fly(datagram)
            return Datagram(datagram.local, datagram.remote, bytes(data))
        return datagram

    network.tamper = forge
    network.start()
    network.run(0.2)
    agree(one, other, routes=1)
    assert other.manager.counters["not_authentic"] == 1


def test_fragments_are_not_taken_where_they_were_not_agreed_on():
    network, one, other = pair(hq(), branch(start="answer"), settings=SMALL)
    network.start()
    network.run(1)
    for session in other.manager._sessions:
        session.fragmentation = False
    one.manager.rekey_child("lan", network.now)
    network.run(0.3)
    assert other.manager.counters["unexpected_fragment"] >= 2


@pytest.mark.parametrize("seed", range(10))
def test_fragments_in_any_order_and_number(seed):
    rng = random.Random(seed)
    whole = rng.randbytes(rng.randrange(1, 4000))
    size = rng.randrange(100, 900)
    parts = [whole[start : start + size] for start in range(0, len(whole), size)]
    order = [number for number in range(1, len(parts) + 1) for _copy in range(rng.randrange(1, 3))]
    rng.shuffle(order)
    reassembly, opened = Reassembly(), None
    for number in order:
        row = Encrypted(33 if number == 1 else 0, b"", 36, number, len(parts))
        if opened is None and reassembly.wants(7, row):
            opened = reassembly.add(7, row, b"datagram %d" % number, parts[number - 1])
    assert opened is not None, f"seed {seed}"
    assert (opened.plaintext, opened.data) == (whole, b"datagram 1")
