# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ISAKMP messages as octets: round trips, a message of a real peer, and octets that no honest peer sends."""

from __future__ import annotations

import contextlib
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ikeengine.wire.errors import MalformedMessage, UnsupportedMajorVersion, WireError
from ikeengine.wire.v1.attributes import decode_attributes, encode_attributes
from ikeengine.wire.v1.certificate import Certificate, CertificateRequest
from ikeengine.wire.v1.constants import ExchangeType, HeaderFlag, PayloadType
from ikeengine.wire.v1.delete import Delete
from ikeengine.wire.v1.fragment import Fragment
from ikeengine.wire.v1.identification import Identification
from ikeengine.wire.v1.message import decode_chain, decode_clear_message, encode_message, encode_payloads
from ikeengine.wire.v1.nonce import Nonce
from ikeengine.wire.v1.notify import Notify
from ikeengine.wire.v1.opaque import Hash, KeyExchange, NatDiscovery, NatDiscoveryDraft, Signature, VendorId
from ikeengine.wire.v1.security_association import Proposal, SecurityAssociation, Transform

SEED = 2408
MUTATIONS = 20_000

octet = st.integers(0, 0xFF)
short = st.integers(0, 0xFFFF)
octets = st.binary(max_size=64)


def size_of(*sizes: int) -> st.SearchStrategy[bytes]:
    return st.sampled_from(sizes).flatmap(lambda size: st.binary(min_size=size, max_size=size))


attributes = st.lists(st.tuples(st.integers(0, 0x7FFF), st.integers(0, 2**40)), max_size=8).map(tuple)
transforms = st.lists(st.builds(Transform, octet, octet, attributes), max_size=4).map(tuple)
proposals = st.one_of(st.builds(Proposal, octet, st.just(protocol), size_of(*sizes), transforms)
                      for protocol, sizes in ((1, (0, 8, 16)), (2, (4,)), (3, (4,))))
payloads = st.one_of(
    st.builds(SecurityAssociation, st.lists(proposals, min_size=1, max_size=4).map(tuple)),
    *(st.builds(kind, octets) for kind in (KeyExchange, Hash, Signature, VendorId, NatDiscovery, NatDiscoveryDraft)),
    st.builds(Identification, st.sampled_from((2, 3, 9, 10, 11)), octets, octet, short),
    st.builds(Identification, st.just(4), size_of(8), octet, short),
    st.builds(Identification, st.just(8), size_of(32), octet, short),
    st.builds(Certificate, octet, octets),
    st.builds(CertificateRequest, octet, octets),
    st.builds(Nonce, st.binary(min_size=8, max_size=256)),
    st.builds(Notify, short, octets, octet, size_of(0, 4, 16), st.sampled_from((0, 1))),
    st.builds(Delete, st.just(1), st.lists(size_of(16), max_size=2).map(tuple)),
    st.builds(Delete, st.sampled_from((2, 3)), st.lists(size_of(4), max_size=4).map(tuple)),
    st.builds(Fragment, short, st.integers(1, 255), st.booleans(), st.binary(min_size=1, max_size=64)),
)


@settings(derandomize=True, max_examples=300, deadline=None)
@given(cookie_i=size_of(8), cookie_r=size_of(8), exchange=octet, message_id=st.integers(0, 2**32 - 1),
       sent=st.lists(payloads, max_size=8).map(tuple))
def test_messages_arrive_as_they_were_sent(cookie_i, cookie_r, exchange, message_id, sent):
    data = encode_message(cookie_i=cookie_i, cookie_r=cookie_r, exchange=exchange, message_id=message_id,
                          payloads=sent)
    header, chain = decode_clear_message(data)
    assert (header.spi_i, header.spi_r, header.exchange, header.message_id) == (cookie_i, cookie_r, exchange,
                                                                               message_id)
    assert (header.major, header.minor) == (1, 0)
    assert chain is not None and chain.payloads == sent


@settings(derandomize=True, max_examples=500, deadline=None)
@given(first_payload=octet, data=st.binary(max_size=200))
def test_random_octets(first_payload, data):
    with contextlib.suppress(WireError):
        decode_chain(first_payload, data)
    with contextlib.suppress(WireError):
        decode_clear_message(data)


def test_an_sa_keeps_the_octets_that_its_hash_covers():
    # A life of 86400 seconds in four octets, and one of 3600 in the long form, where it could have had the short.
    body = bytes.fromhex("00000001 00000001 00000034 00 01 00 01 0000002c"
                         .replace(" ", "")[:16] + "0000002c01010001" + "0000002401010000"
                         "80010007 80020004 80030001 8004000e 800b0001 000c0004 00000e10".replace(" ", ""))
    decoded = SecurityAssociation.decode_body(body)
    assert decoded.encode_body() == body
    (proposal,) = decoded.proposals
    assert proposal.transforms == (Transform(1, 1, ((1, 7), (2, 4), (3, 1), (4, 14), (11, 1), (12, 3600))),)
    assert SecurityAssociation(decoded.proposals).encode_body() != body


def test_attributes_take_the_short_form_where_they_fit():
    assert encode_attributes([(1, 7), (12, 86400)]).hex() == "80010007000c000400015180"
    assert decode_attributes(bytes.fromhex("000c0003015180")) == ((12, 86400),)
    with pytest.raises(MalformedMessage):
        decode_attributes(bytes.fromhex("000c0008015180"))


def test_what_a_hash_covers_begins_after_it_and_ends_before_the_padding():
    first_type, octets_ = encode_payloads([Hash(b"h" * 20), Nonce(b"n" * 16), KeyExchange(b"k")])
    chain = decode_chain(first_type, octets_ + bytes(5))
    assert chain.after_first == encode_payloads([Nonce(b"n" * 16), KeyExchange(b"k")])[1]
    assert chain.octets == octets_


def test_an_encrypted_message_is_left_alone():
    data = encode_message(cookie_i=b"i" * 8, cookie_r=b"r" * 8, exchange=ExchangeType.QUICK,
                          flags=HeaderFlag.ENCRYPTION, message_id=1, payloads=[Hash(b"h" * 20)])
    header, chain = decode_clear_message(data)
    assert chain is None and header.flags & HeaderFlag.ENCRYPTION


def test_padding_after_clear_payloads_is_malformed():
    data = encode_message(cookie_i=b"i" * 8, cookie_r=b"r" * 8, exchange=2, payloads=[KeyExchange(b"k")])
    longer = data[:24] + (len(data) + 4).to_bytes(4, "big") + data[28:] + bytes(4)
    with pytest.raises(MalformedMessage):
        decode_clear_message(longer)


def test_other_versions_are_refused():
    data = bytearray(encode_message(cookie_i=b"i" * 8, cookie_r=b"r" * 8, exchange=2, payloads=[KeyExchange(b"k")]))
    data[17] = 0x20
    with pytest.raises(UnsupportedMajorVersion):
        decode_clear_message(bytes(data))


def _offer() -> tuple[int, bytes]:
    sa = SecurityAssociation(tuple(
        Proposal(number, 3, b"spi" + bytes([number]), tuple(
            Transform(row, 12, ((1, 1), (2, 3600), (4, 1), (5, 5), (6, 256))) for row in range(1, 3)))
        for number in range(1, 3)))
    return encode_payloads([Hash(b"h" * 20), sa, Nonce(b"n" * 32), Identification(4, bytes(8)),
                            Identification(7, bytes(8)), Delete(3, (b"1234",)), Notify(14, b"", 3, b"5678")])


def test_chains_cut_short_at_every_octet():
    first_type, data = _offer()
    for size in range(len(data)):
        with pytest.raises(MalformedMessage):
            decode_chain(first_type, data[:size])


def test_mutated_chains_raise_wire_errors_only():
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    first_type, chain = _offer()
    refused = 0
    for _ in range(MUTATIONS):
        data = bytearray(chain)
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(len(data))] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
        if chance.random() < 0.2:
            start = chance.randrange(len(data))
            del data[start : start + chance.randint(1, 16)]
        try:
            decode_chain(first_type, bytes(data))
        except WireError:
            refused += 1
    assert MUTATIONS * 0.1 < refused < MUTATIONS


@pytest.mark.parametrize(("kind", "start", "unit"), [
    pytest.param(1, "00000001 00000001", "02 00 0008 01 01 00 00", id="proposals"),
    pytest.param(1, "00000001 00000001 00 00 fdd8 01 01 00 01  00 00 fdd0 01 01 0000", "800b 0001", id="attributes"),
    pytest.param(12, "00000001 03 04 3f79", "c0ffee01", id="SPIs"),
    pytest.param(200, "", "00", id="one unknown payload"),
    pytest.param(13, "", "00", id="one vendor id"),
])
def test_the_largest_datagram_stays_cheap(kind, start, unit):
    body = bytes.fromhex(start)
    body += bytes.fromhex(unit) * ((65000 - len(body)) // len(bytes.fromhex(unit)))
    chain = bytes((0, 0)) + (len(body) + 4).to_bytes(2, "big") + body
    before = time.process_time()
    with contextlib.suppress(WireError):
        decode_chain(kind, chain)
    assert time.process_time() - before < 0.25


def test_fragments_count_from_one():
    with pytest.raises(MalformedMessage):
        Fragment.decode_body(bytes.fromhex("0001 00 01 ff"))
    assert PayloadType.FRAGMENT == 132
