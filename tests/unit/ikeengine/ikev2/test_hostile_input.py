# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Floods, forgeries and octets that mean nothing: counted, dropped, and the next honest peer is answered."""

from __future__ import annotations

import ipaddress
import os
import random
import secrets

import pytest
from ikeengine.asn1 import der
from ikeengine.asn1.der import Tag
from ikeengine.crypto.ike_cipher import IkeCipher
from ikeengine.ike.context import Settings
from ikeengine.ikev2 import ike_auth
from ikeengine.security_association import Datagram, SocketAddress
from ikeengine.vpn.model import Start
from ikeengine.wire.constants import ExchangeType, HeaderFlag, IdType
from ikeengine.wire.message import decode_message, encode_message
from ikeengine.wire.notify import Notify
from ikeengine.wire.vendor_id import VendorId

from tests.support.mutation import mutated_message
from tests.support.virtual_network import BRANCH, HQ, PSK, TRANSFORM, agree, branch, hq, pair

HERE = SocketAddress(ipaddress.ip_address(BRANCH), 500)
THERE = SocketAddress(ipaddress.ip_address(HQ), 500)


def test_a_hundred_thousand_mutated_and_random_datagrams_then_an_honest_peer():
    seed = int(os.environ.get("TANDEM_SEED") or secrets.randbits(32))
    print(f"TANDEM_SEED={seed}")
    rng = random.Random(seed)
    network, one, other = pair(hq(start="answer"), branch(start="answer"))
    donor, *_ends = pair(hq(), branch(start="answer"), seed=5)
    donor.start()
    donor.run(2)
    honest = [datagram.data for _time, datagram in donor.sent]
    for number in range(100_000):
        data = rng.randbytes(rng.randrange(200)) if number % 5 == 0 else mutated_message(rng, rng.choice(honest))
        source = SocketAddress(THERE.address, rng.choice((500, 4500, 1024)))
        other.manager.receive(Datagram(HERE, source, data), network.now)
        other.manager.datagrams_to_send()
        other.manager.events()
        network.now += 0.0001
        if number % 100 == 0:
            other.manager.handle_timer(network.now)
    assert sum(other.manager.counters.values()) >= 90_000
    one.manager.initiate("peer", network.now)
    network.run(5)
    agree(one, other, routes=1)


HYBRID = {"transforms": ({**TRANSFORM, "additional_key_exchange": "ML-KEM-768"},),
          "pfs": {"enabled": True, "key_group": 31, "additional_key_exchange": "ML-KEM-768"}}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("options", "largest"), [({}, 1280), (HYBRID, 400)], ids=["plain", "hybrid in fragments"])
def test_mutations_inside_the_encryption_never_raise(seed, options, largest):
    """The attacker is the peer itself: it holds the keys, so what is behind the encryption is mutated."""
    rng = random.Random(seed)
    for _run in range(80 if options else 250):
        network, one, _other = pair(hq(**options), branch(start="answer", **options), seed=rng.randrange(2**32),
                                    settings=Settings(largest_datagram=largest))
        network.start()
        network.run(0.5)
        session = one.manager._sessions.of("peer")[0]
        protection = session.protection
        plain_open = protection._cipher_out.seal

        def corrupt(prefix: bytes, plaintext: bytes, seal=plain_open, rng=rng) -> bytes:
            data = bytearray(plaintext)
            for _change in range(rng.randint(1, 4)):
                if data:
                    data[rng.randrange(len(data))] = rng.randrange(256)
            return seal(prefix, bytes(data))

        protection._cipher_out = type("Corrupting", (), {
            "seal": staticmethod(corrupt), "overhead": staticmethod(protection._cipher_out.overhead),
            "capacity": staticmethod(protection._cipher_out.capacity)})()
        order = rng.choice((lambda m, now: m.rekey_child("lan", now), lambda m, now: m.rekey_ike("peer", now),
                            lambda m, now: m.terminate("peer", now)))
        order(one.manager, network.now)
        network.run(2)


@pytest.mark.parametrize("seed", range(300))
def test_mutations_before_authentication_never_raise(seed, monkeypatch):
    """The same of an initiator that has agreed on keys and not yet proved who it is: IKE_INTERMEDIATE and IKE_AUTH."""
    rng, plain_seal = random.Random(seed), IkeCipher.seal
    credential = {"method": "psk", "psk": PSK, "ppk": {"id": "qkd", "required": False}, "ppk_key": "0x" + "5a" * 32}
    options = {**HYBRID, "gateway": {"credential": credential}}

    def corrupt(cipher: IkeCipher, prefix: bytes, plaintext: bytes) -> bytes:
        data = bytearray(plaintext)
        if prefix[19] & HeaderFlag.INITIATOR and rng.random() < 0.5:
            for _change in range(rng.randint(1, 4)):
                data[rng.randrange(len(data))] = rng.randrange(256)
        return plain_seal(cipher, prefix, bytes(data))

    monkeypatch.setattr(IkeCipher, "seal", corrupt)
    network, *_ends = pair(hq(**options), branch(start="answer", **options), seed=seed,
                           settings=Settings(largest_datagram=rng.choice((400, 1280))))
    network.start()
    network.run(3)


@pytest.mark.parametrize("name", [
    "300431023000", der.sequence([der.encode(Tag.SET, der.sequence([
        der.encode(Tag.OBJECT_IDENTIFIER, b"\xff" * 9000 + b"\x01"), der.encode(Tag.UTF8_STRING, b"hq")]))]).hex(),
], ids=["no attribute", "a type without end"])
def test_a_name_that_is_none_is_refused_like_any_other(name, monkeypatch):
    plain = ike_auth.identification
    monkeypatch.setattr(ike_auth, "identification", lambda gateway, ends: (
        (IdType.DER_ASN1_DN, bytes.fromhex(name)) if gateway.start is Start.BOOT else plain(gateway, ends)))
    network, one, other = pair(hq(), branch(start="answer"))
    network.start()
    network.run(1)
    assert "AUTHENTICATION_FAILED" in one.reasons[0] and "phase 1 identifier" in other.reasons[0]
    assert not other.manager._acceptor.half_open


def test_cookies_are_demanded_of_a_flood_and_honest_peers_get_through():
    network, one, other = pair(hq(start="answer"), branch(start="answer"), settings=Settings(cookie_threshold=10))
    donor, *_ends = pair(hq(), branch(start="answer"), seed=5)
    donor.start()
    request = donor.sent[0][1].data
    for number in range(1000):
        source = SocketAddress(THERE.address, 2000 + number)
        spi = number.to_bytes(8, "big", signed=False)
        other.manager.receive(Datagram(HERE, source, b"\x01" + spi[1:] + request[8:]), network.now)
    answers = other.manager.datagrams_to_send()
    assert other.manager.counters["cookie_demanded"] == 990
    assert max(len(row.data) for row in answers[10:]) < len(request)  # never more than was sent
    assert len(other.manager._acceptor.half_open) == 10
    one.manager.initiate("peer", network.now)
    network.run(2)
    agree(one, other, routes=1)
    assert len(network.sent) == 6  # the cookie cost one round trip
    network.run(60)
    assert not other.manager._acceptor.half_open


def flood_with_good_cookies(network, one, other, number=200):
    one.manager.initiate("peer", network.now)
    (first,) = one.manager.datagrams_to_send()
    one.manager.terminate("peer", network.now)
    plain = decode_message(first.data)
    for spi in range(1, number + 1):
        cookie = []
        for _round in range(2):
            data = encode_message(spi_i=spi.to_bytes(8, "big"), spi_r=bytes(8), exchange=ExchangeType.IKE_SA_INIT,
                                  flags=HeaderFlag.INITIATOR, message_id=0, payloads=[*cookie, *plain.payloads])
            other.manager.receive(Datagram(HERE, THERE, data), network.now)
            answers = [decode_message(row.data) for row in other.manager.datagrams_to_send()]
            cookie = [row for answer in answers for row in answer.payloads[:1] if isinstance(row, Notify)]


def test_a_flood_that_shows_good_cookies_holds_a_bounded_number_of_half_open_ike_sas():
    settings = Settings(cookie_threshold=10, half_open_per_address=20)
    network, one, other = pair(hq(start="answer"), branch(start="answer"), settings=settings)
    flood_with_good_cookies(network, one, other)
    assert len(other.manager._acceptor.half_open) == 20
    assert other.manager.counters["too_many_half_open"] == 180
    network.run(31)
    one.manager.initiate("peer", network.now)
    network.run(5)
    agree(one, other, routes=1)
    assert len(other.manager._acceptor.half_open) == 0


def test_a_cookie_is_good_for_one_address_and_one_spi():
    network, one, other = pair(hq(start="answer"), branch(start="answer"), settings=Settings(cookie_threshold=0))
    one.manager.initiate("peer", network.now)
    network.run(0.05)
    with_cookie = next(row.data for _time, row in network.sent[2:] if row.data[18] == 34)
    elsewhere = SocketAddress(ipaddress.ip_address("192.0.2.77"), 500)
    before = other.manager.counters["cookie_demanded"]
    other.manager.receive(Datagram(HERE, elsewhere, with_cookie), network.now)
    other.manager.receive(Datagram(HERE, THERE, b"\x01" * 8 + with_cookie[8:]), network.now)
    assert other.manager.counters["cookie_demanded"] == before + 2


def test_a_forged_datagram_does_not_disturb_an_sa():
    network, one, other = pair(hq(), branch(start="answer"))
    network.start()
    network.run(1)
    session = one.manager._sessions.of("peer")[0]
    for exchange in range(256):
        for flags in (0x00, 0x08, 0x20, 0x28):
            for message_id in (0, 1, 2, 3, 2**32 - 1):
                data = (session.spi_i + session.spi_r + bytes([46, 0x20, exchange, flags])
                        + message_id.to_bytes(4, "big") + (28 + 68).to_bytes(4, "big")
                        + b"\x00\x00\x00\x44" + bytes(64))
                for end, local, remote in ((one, THERE, HERE), (other, HERE, THERE)):
                    end.manager.receive(Datagram(local, remote, data), network.now)
    network.run(5)
    agree(one, other, routes=1)
    assert not one.reasons and not other.reasons


def test_a_version_that_is_too_high_is_answered_and_one_too_low_is_dropped():
    _network, _one, other = pair(hq(), branch(start="answer"))
    for version, answers in ((0x30, 1), (0x10, 0)):
        data = b"\x01" * 8 + bytes(8) + bytes([0, version, 34, 8]) + bytes(4) + (28).to_bytes(4, "big")
        other.manager.receive(Datagram(HERE, THERE, data), 0.0)
        assert len(other.manager.datagrams_to_send()) == answers


def test_a_flood_from_as_many_addresses_as_it_likes_holds_a_bounded_number_in_all():
    """Which an attacker has, of IPv6 at least."""
    settings = Settings(cookie_threshold=10, half_open_per_address=1000, half_open_at_once=50)
    network, one, other = pair(hq(start="answer"), branch(start="answer"), settings=settings)
    flood_with_good_cookies(network, one, other)
    assert len(other.manager._acceptor.half_open) == 50
    one.manager.initiate("peer", network.now)
    network.run(2)
    agree(one, other, routes=1)


def test_a_first_message_that_is_larger_than_any_is_not_kept():
    network, one, other = pair(hq(start="answer"), branch(start="answer"))
    one.manager.initiate("peer", network.now)
    (first,) = one.manager.datagrams_to_send()
    header, *payloads = decode_message(first.data).header, *decode_message(first.data).payloads
    for size, begun in ((7000, 1), (8192, 1), (60000, 1), (3000, 2)):
        data = encode_message(spi_i=size.to_bytes(8, "big"), spi_r=bytes(8), exchange=header.exchange,
                              flags=header.flags, message_id=0, payloads=[*payloads, VendorId(bytes(size))])
        other.manager.receive(Datagram(HERE, THERE, data), network.now)
        assert len(other.manager._acceptor.half_open) == begun
    assert other.manager.counters == {"oversized_message": 2}
