# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Round trips of arbitrary values, and octets that no honest peer sends. Every random choice is reproducible."""

from __future__ import annotations

import contextlib
import random
import time
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ikeengine.wire.authentication import Authentication
from ikeengine.wire.certificate import Certificate, CertificateRequest
from ikeengine.wire.configuration import Configuration, ConfigurationAttribute
from ikeengine.wire.delete import Delete
from ikeengine.wire.eap import Eap
from ikeengine.wire.errors import MalformedMessage, WireError
from ikeengine.wire.identification import IdentificationInitiator, IdentificationResponder
from ikeengine.wire.key_exchange import KeyExchange
from ikeengine.wire.message import decode_message, decode_payloads, encode_message
from ikeengine.wire.nonce import Nonce
from ikeengine.wire.notify import Notify
from ikeengine.wire.security_association import (
    ProposalSubstructure,
    SecurityAssociation,
    TransformSubstructure,
)
from ikeengine.wire.traffic_selectors import (
    TrafficSelector,
    TrafficSelectorsInitiator,
    TrafficSelectorsResponder,
)
from ikeengine.wire.vendor_id import VendorId

SEED = 7296
MUTATIONS = 20_000

octet = st.integers(0, 0xFF)
short = st.integers(0, 0xFFFF)
octets = st.binary(max_size=64)


def size_of(*sizes: int) -> st.SearchStrategy[bytes]:
    return st.sampled_from(sizes).flatmap(lambda size: st.binary(min_size=size, max_size=size))


transforms = st.builds(TransformSubstructure, octet, short, st.none() | short)
proposals = st.one_of(
    st.builds(
        ProposalSubstructure, octet, st.just(protocol), size_of(*sizes), st.lists(transforms, max_size=8).map(tuple)
    )
    for protocol, sizes in ((1, (0, 8)), (2, (4,)), (3, (4,)))
)


def ordered(addresses: st.SearchStrategy) -> st.SearchStrategy[TrafficSelector]:
    return st.builds(
        lambda pair, *rest: TrafficSelector(*sorted(pair), *rest), st.tuples(addresses, addresses), octet, short, short
    )


selectors = st.lists(ordered(st.builds(IPv4Address, st.integers(0, 2**32 - 1))), max_size=4).map(tuple) | st.lists(
    ordered(st.builds(IPv6Address, st.integers(0, 2**128 - 1))), max_size=4
).map(tuple)
identities = (st.sampled_from((2, 3, 9, 10, 11)), octets)
payloads = st.one_of(
    st.builds(SecurityAssociation, st.lists(proposals, min_size=1, max_size=4).map(tuple)),
    st.builds(KeyExchange, short, octets),
    st.builds(IdentificationInitiator, *identities),
    st.builds(IdentificationResponder, *identities),
    st.builds(Certificate, octet, octets),
    st.builds(CertificateRequest, octet, octets),
    st.builds(Authentication, octet, octets),
    st.builds(Nonce, st.binary(min_size=16, max_size=256)),
    st.builds(Notify, short, octets, octet, size_of(0, 4, 8)),
    st.builds(Delete, st.just(1)),
    st.builds(Delete, st.sampled_from((2, 3)), st.lists(size_of(4), max_size=4).map(tuple)),
    st.builds(VendorId, octets),
    st.builds(TrafficSelectorsInitiator, selectors),
    st.builds(TrafficSelectorsResponder, selectors),
    st.builds(
        Configuration,
        octet,
        st.lists(st.builds(ConfigurationAttribute, st.integers(0, 0x7FFF), octets), max_size=4).map(tuple),
    ),
    st.builds(Eap, octets),
)


@settings(derandomize=True, max_examples=300, deadline=None)
@given(
    spi_i=size_of(8),
    spi_r=size_of(8),
    exchange=octet,
    flags=octet,
    message_id=st.integers(0, 2**32 - 1),
    sent=st.lists(payloads, max_size=8).map(tuple),
)
def test_messages_arrive_as_they_were_sent(spi_i, spi_r, exchange, flags, message_id, sent):
    data = encode_message(
        spi_i=spi_i, spi_r=spi_r, exchange=exchange, flags=flags, message_id=message_id, payloads=sent
    )
    message = decode_message(data)

    header = message.header
    assert (header.spi_i, header.spi_r) == (spi_i, spi_r)
    assert (header.exchange, header.flags, header.message_id) == (exchange, flags, message_id)
    assert (message.payloads, message.encrypted) == (sent, None)


@settings(derandomize=True, max_examples=500, deadline=None)
@given(first_payload=octet, data=st.binary(max_size=200))
def test_random_octets(first_payload, data):
    with contextlib.suppress(WireError):
        decode_payloads(first_payload, data)
    with contextlib.suppress(WireError):
        decode_message(data)


@pytest.mark.parametrize("name", ["init_request", "init_response", "auth_request", "auth_response"])
def test_messages_cut_short_at_every_octet(captured, name):
    data = getattr(captured, name)
    for size in range(len(data)):
        with pytest.raises(MalformedMessage):
            decode_message(data[:size])
        if size >= 28:  # as above, by a sender whose header agrees
            with pytest.raises(MalformedMessage):
                decode_message(data[:24] + size.to_bytes(4, "big") + data[28:size])


@pytest.mark.parametrize("name", ["auth_request_inner", "auth_response_inner"])
def test_chains_cut_short_at_every_octet(captured, name):
    first_payload, data = getattr(captured, name)
    for size in range(len(data)):
        with pytest.raises(MalformedMessage):
            decode_payloads(first_payload, data[:size])


def test_mutated_messages_raise_wire_errors_only(captured):
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    chains = [(captured.init_request[16], captured.init_request[28:]), captured.auth_request_inner]
    refused = 0
    for _ in range(MUTATIONS):
        first_payload, chain = chance.choice(chains)
        data = bytearray(chain)
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(len(data))] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
        if chance.random() < 0.2:
            start = chance.randrange(len(data))
            del data[start : start + chance.randint(1, 16)]
        try:
            decode_payloads(first_payload, bytes(data))
        except WireError:
            refused += 1
    assert MUTATIONS * 0.2 < refused < MUTATIONS, f"{refused} of {MUTATIONS} refused: these mutations test too little"


@pytest.mark.parametrize(
    ("kind", "start", "unit"),
    [
        pytest.param(33, "", "02 00 0008 01 01 00 00", id="proposals"),
        pytest.param(33, "00 00 fde8 01 01 00 01  00 00 fde0 01 00 000c", "800f 0000", id="transform attributes"),
        pytest.param(42, "03 04 3f79", "c0ffee01", id="SPIs"),
        pytest.param(44, "ff 000000", "0a 00 0004", id="selectors of an unknown type"),
        pytest.param(47, "01 000000", "0001 0000", id="configuration attributes"),
        pytest.param(200, "", "00", id="one unknown payload"),
    ],
)
def test_the_largest_datagram_stays_cheap(kind, start, unit):
    """64 KB of the smallest parts; anything quadratic in their number, up to 16,000, would take far longer."""
    body = bytes.fromhex(start)
    body += bytes.fromhex(unit) * ((65000 - len(body)) // len(bytes.fromhex(unit)))
    chain = bytes((0, 0)) + (len(body) + 4).to_bytes(2, "big") + body
    before = time.process_time()
    with contextlib.suppress(WireError):
        decode_payloads(kind, chain)
    assert time.process_time() - before < 1.0
