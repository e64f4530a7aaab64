# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What strongSwan sent is read as it meant it, and written again octet for octet."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from ikeengine.wire.authentication import Authentication
from ikeengine.wire.constants import AuthMethod, ExchangeType, IdType, NotifyType, PayloadType, ProtocolId
from ikeengine.wire.identification import IdentificationInitiator, IdentificationResponder
from ikeengine.wire.key_exchange import KeyExchange
from ikeengine.wire.message import (
    decode_message,
    decode_payloads,
    encode_encrypted_prefix,
    encode_message,
    encode_payloads,
    notify,
)
from ikeengine.wire.nonce import Nonce
from ikeengine.wire.notify import Notify
from ikeengine.wire.payloads import all_of, first
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

AES_256_SHA_256_X25519 = (
    TransformSubstructure(1, 12, 256),
    TransformSubstructure(3, 12),
    TransformSubstructure(2, 5),
    TransformSubstructure(4, 31),
)
AES_128_GCM_PRF_384_P256 = (
    TransformSubstructure(1, 20, 128),
    TransformSubstructure(2, 6),
    TransformSubstructure(4, 19),
)


def test_init_request(captured):
    message = decode_message(captured.init_request)

    header = message.header
    assert header.spi_i.hex() == "313c0733ef1a0979"
    assert header.spi_r == bytes(8)
    assert (header.exchange, header.message_id, header.length) == (ExchangeType.IKE_SA_INIT, 0, 276)
    assert (header.major, header.minor, header.is_initiator, header.is_response) == (2, 0, True, False)
    assert message.encrypted is None
    assert first(message.payloads, SecurityAssociation).proposals == (
        ProposalSubstructure(1, ProtocolId.IKE, b"", AES_256_SHA_256_X25519),
        ProposalSubstructure(2, ProtocolId.IKE, b"", AES_128_GCM_PRF_384_P256),
    )
    key_exchange = first(message.payloads, KeyExchange)
    assert key_exchange.group == 31
    assert key_exchange.data.hex() == "75a03c1e590f72203fade083d17c66d6438e74916abc15efdae35217901ac477"
    assert len(first(message.payloads, Nonce).data) == 32
    assert [sent.notify_type for sent in all_of(message.payloads, Notify)] == [
        NotifyType.NAT_DETECTION_SOURCE_IP,
        NotifyType.NAT_DETECTION_DESTINATION_IP,
        NotifyType.IKEV2_FRAGMENTATION_SUPPORTED,
        NotifyType.SIGNATURE_HASH_ALGORITHMS,
        NotifyType.REDIRECT_SUPPORTED,
    ]
    hashes = notify(message.payloads, NotifyType.SIGNATURE_HASH_ALGORITHMS)
    assert hashes == Notify(NotifyType.SIGNATURE_HASH_ALGORITHMS, bytes.fromhex("0002000300040005"))
    assert notify(message.payloads, NotifyType.COOKIE) is None


def test_init_response(captured):
    message = decode_message(captured.init_response)

    assert message.header.spi_r.hex() == "4d7a1fc76dc80f34"
    assert (message.header.is_initiator, message.header.is_response) == (False, True)
    assert first(message.payloads, SecurityAssociation).proposals == (
        ProposalSubstructure(1, ProtocolId.IKE, b"", AES_256_SHA_256_X25519),
    )
    assert first(message.payloads, IdentificationInitiator) is None


@pytest.mark.parametrize("name", ["init_request", "init_response"])
def test_clear_messages_are_written_as_they_were_read(captured, name):
    data = getattr(captured, name)
    message = decode_message(data)
    header = message.header

    assert data == encode_message(
        spi_i=header.spi_i,
        spi_r=header.spi_r,
        exchange=header.exchange,
        flags=header.flags,
        message_id=header.message_id,
        payloads=message.payloads,
    )


@pytest.mark.parametrize(("name", "first_payload"), [("auth_request", 35), ("auth_response", 36)])
def test_the_frame_of_an_encrypted_message(captured, name, first_payload):
    data = getattr(captured, name)
    message = decode_message(data)
    header, encrypted = message.header, message.encrypted

    assert message.payloads == ()
    assert (encrypted.first_payload, encrypted.offset) == (first_payload, 32)
    assert encrypted.body == data[32:]
    assert data[:32] == encode_encrypted_prefix(
        spi_i=header.spi_i,
        spi_r=header.spi_r,
        exchange=header.exchange,
        flags=header.flags,
        message_id=header.message_id,
        first_payload=encrypted.first_payload,
        body_size=len(encrypted.body),
    )


def test_inside_auth_request(captured):
    payloads = decode_payloads(*captured.auth_request_inner)

    assert payloads[:3] == (
        IdentificationInitiator(IdType.IPV4_ADDR, IPv4Address("192.0.2.1").packed),
        Notify(NotifyType.INITIAL_CONTACT),
        IdentificationResponder(IdType.IPV4_ADDR, IPv4Address("198.51.100.1").packed),
    )
    auth = first(payloads, Authentication)
    assert (auth.method, len(auth.data)) == (AuthMethod.SHARED_KEY, 32)
    gcm, cbc = first(payloads, SecurityAssociation).proposals
    assert (gcm.protocol, gcm.spi.hex()) == (ProtocolId.ESP, "4d00dcf8")
    assert gcm.transforms == (TransformSubstructure(1, 20, 128), TransformSubstructure(5, 0))
    assert (cbc.number, [transform.type for transform in cbc.transforms]) == (2, [1, 3, 5])
    host = TrafficSelector(IPv4Address("10.77.1.1"), IPv4Address("10.77.1.1"))
    peer = TrafficSelector(IPv4Address("10.77.2.1"), IPv4Address("10.77.2.1"))
    assert first(payloads, TrafficSelectorsInitiator).selectors == (host,)
    assert first(payloads, TrafficSelectorsResponder).selectors == (peer,)
    assert encode_payloads(payloads) == captured.auth_request_inner


def test_inside_auth_response(captured):
    payloads = decode_payloads(*captured.auth_response_inner)

    assert [payload.type for payload in payloads] == [
        PayloadType.ID_R,
        PayloadType.AUTH,
        PayloadType.SA,
        PayloadType.TS_I,
        PayloadType.TS_R,
        PayloadType.NOTIFY,
        PayloadType.NOTIFY,
    ]
    assert encode_payloads(payloads) == captured.auth_response_inner
