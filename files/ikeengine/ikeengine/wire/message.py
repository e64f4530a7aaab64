# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IKE messages: the header, the chain of payloads, and the frames of what is encrypted (RFC 7296 §3.1, §3.2, §3.14,
RFC 7383 §2.5)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from struct import Struct
from typing import TypeAlias

from .authentication import Authentication
from .certificate import Certificate, CertificateRequest
from .configuration import Configuration
from .constants import PayloadType
from .delete import Delete
from .eap import Eap
from .errors import MalformedMessage, UnsupportedCriticalPayload, UnsupportedMajorVersion, WireError
from .header import HEADER_SIZE, Header, decode_header
from .identification import IdentificationInitiator, IdentificationResponder
from .key_exchange import KeyExchange
from .nonce import Nonce
from .notify import Notify
from .security_association import SecurityAssociation
from .traffic_selectors import TrafficSelectorsInitiator, TrafficSelectorsResponder
from .unknown import UnknownPayload
from .vendor_id import VendorId

_KnownPayload: TypeAlias = (
    SecurityAssociation
    | KeyExchange
    | IdentificationInitiator
    | IdentificationResponder
    | Certificate
    | CertificateRequest
    | Authentication
    | Nonce
    | Notify
    | Delete
    | VendorId
    | TrafficSelectorsInitiator
    | TrafficSelectorsResponder
    | Configuration
    | Eap
)
Payload: TypeAlias = _KnownPayload | UnknownPayload

MAX_PAYLOADS = 128
"""Far above what any exchange needs: several certificates, and a notification per address of a peer."""

_GENERIC_HEADER = Struct(">BBH")
_CRITICAL = 0x80
_NEXT_PAYLOAD = 16  # where the header has the type of the first payload
_FRAGMENT = Struct(">HH")
_MAX_BODY_SIZE = 0xFFFF - _GENERIC_HEADER.size
_MAJOR_VERSION = 2
_NEXT_PAYLOAD = 16  # the place of the header's

ENCRYPTED_SIZE = _GENERIC_HEADER.size
FRAGMENT_SIZE = _GENERIC_HEADER.size + _FRAGMENT.size
"""Octets of an Encrypted payload, and of an Encrypted Fragment payload, before the IV."""

_KNOWN: tuple[type[_KnownPayload], ...] = _KnownPayload.__args__
_DECODERS: dict[int, Callable[[bytes], _KnownPayload]] = {known.type: known.decode_body for known in _KNOWN}


@dataclass(frozen=True, slots=True)
class Encrypted:
    """The Encrypted payload (§3.14) or an Encrypted Fragment payload (RFC 7383 §2.5) as received.

    ``first_payload`` is the type of the first payload inside; only the first fragment says it. ``body`` is IV,
    ciphertext and ICV, and begins at ``offset`` of the message; what stands before it is authenticated as well
    (RFC 5282 §5.1). ``number`` counts fragments from 1 up to ``total``; both are 0 where the message is whole.
    """

    first_payload: int
    body: bytes
    offset: int
    number: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class Message:
    """A message in the order of the wire; ``payloads`` are those in clear."""

    header: Header
    payloads: tuple[Payload, ...]
    encrypted: Encrypted | None


def decode_message(data: bytes) -> Message:
    """One datagram, without a non-ESP marker. Raises WireError, by kind."""
    header = decode_header(data)
    if header.major != _MAJOR_VERSION:
        raise UnsupportedMajorVersion(header.major)
    payloads, encrypted = _decode_chain(header.next_payload, data, HEADER_SIZE)
    return Message(header, payloads, encrypted)


def decode_payloads(first_type: int, data: bytes | memoryview) -> tuple[Payload, ...]:
    """A chain of payloads that fills ``data``, as inside an Encrypted payload. Raises WireError, by kind."""
    payloads, encrypted = _decode_chain(first_type, bytes(data), 0)
    if encrypted is not None:
        raise MalformedMessage("an encrypted payload inside another")
    return payloads


def encode_payloads(payloads: Iterable[Payload]) -> tuple[int, bytes]:
    """The first payload's type, and the octets of the chain. Raises WireError for a payload that is too large."""
    chain: list[bytes] = []
    following: int = PayloadType.NONE
    for payload in reversed(tuple(payloads)):
        body = payload.encode_body()
        if len(body) > _MAX_BODY_SIZE:
            raise WireError(f"a body of {len(body)} octets does not fit into payload type {payload.type}")
        chain += (body, _GENERIC_HEADER.pack(following, 0, _GENERIC_HEADER.size + len(body)))
        following = payload.type
    chain.reverse()
    return following, b"".join(chain)


def encode_message(
    *, spi_i: bytes, spi_r: bytes, exchange: int, flags: int, message_id: int, payloads: Iterable[Payload]
) -> bytes:
    """A message in clear."""
    first_type, chain = encode_payloads(payloads)
    header = Header(spi_i, spi_r, first_type, exchange, flags, message_id, HEADER_SIZE + len(chain))
    return header.encode() + chain


def encode_encrypted_prefix(
    *, spi_i: bytes, spi_r: bytes, exchange: int, flags: int, message_id: int, first_payload: int, body_size: int
) -> bytes:
    """All that stands before the IV: the IKE header and the Encrypted payload's generic header.

    The caller appends IV, ciphertext and ICV, ``body_size`` octets. Raises WireError when they are too many.
    """
    if body_size > _MAX_BODY_SIZE:
        raise WireError(f"a body of {body_size} octets does not fit into an Encrypted payload")
    size = _GENERIC_HEADER.size + body_size
    header = Header(spi_i, spi_r, PayloadType.ENCRYPTED, exchange, flags, message_id, HEADER_SIZE + size)
    return header.encode() + _GENERIC_HEADER.pack(first_payload, 0, size)


def encode_fragment_prefix(
    *, spi_i: bytes, spi_r: bytes, exchange: int, flags: int, message_id: int, first_payload: int, body_size: int,
    number: int, total: int
) -> bytes:
    """As `encode_encrypted_prefix`, for fragment ``number`` of ``total`` (RFC 7383 §2.5)."""
    size = _GENERIC_HEADER.size + _FRAGMENT.size + body_size
    header = Header(spi_i, spi_r, PayloadType.ENCRYPTED_FRAGMENT, exchange, flags, message_id, HEADER_SIZE + size)
    return b"".join((header.encode(), _GENERIC_HEADER.pack(first_payload, 0, size), _FRAGMENT.pack(number, total)))


def without_encryption(data: bytes, encrypted: Encrypted, plaintext: bytes) -> bytes:
    """A message as if nothing of it were encrypted or cut (RFC 9242 §3.3.2): its octets up to the Encrypted payload's
    generic header, with lengths that count no IV, padding or ICV, then ``plaintext``. ``data``: its first datagram."""
    size = ENCRYPTED_SIZE + len(plaintext)
    if encrypted.total:  # nothing stands before the fragment
        before, start = data[:_NEXT_PAYLOAD] + bytes((PayloadType.ENCRYPTED,)) + data[_NEXT_PAYLOAD + 1 :], HEADER_SIZE
    else:
        before, start = data, encrypted.offset - ENCRYPTED_SIZE
    length = (start + size).to_bytes(4, "big")
    return b"".join((before[: HEADER_SIZE - 4], length, before[HEADER_SIZE : start + 2], size.to_bytes(2, "big"),
                     plaintext))


def notify(payloads: Iterable[Payload], notify_type: int) -> Notify | None:
    """The first notification of a type."""
    for payload in payloads:
        if isinstance(payload, Notify) and payload.notify_type == notify_type:
            return payload
    return None


def find_body(data: bytes, kind: int) -> bytes | None:
    """The body of the first payload in clear of a type, undecoded; None where there is none, or what stands before it
    breaks the syntax. It costs a fraction of what decoding does, for messages that may not be worth that."""
    following, offset, end = data[_NEXT_PAYLOAD], HEADER_SIZE, len(data)
    for _payload in range(MAX_PAYLOADS):
        start = offset + _GENERIC_HEADER.size
        if following in (PayloadType.NONE, PayloadType.ENCRYPTED) or start > end:
            return None
        found = following == kind
        following, _flags, length = _GENERIC_HEADER.unpack_from(data, offset)
        offset += length
        if offset < start or offset > end:
            return None
        if found:
            return data[start:offset]
    return None


def _decode_chain(kind: int, data: bytes, offset: int) -> tuple[tuple[Payload, ...], Encrypted | None]:
    payloads: list[Payload] = []
    end = len(data)
    while kind != PayloadType.NONE:
        if len(payloads) == MAX_PAYLOADS:
            raise MalformedMessage(f"more than {MAX_PAYLOADS} payloads")
        body_start = offset + _GENERIC_HEADER.size
        if body_start > end:
            raise MalformedMessage(f"payload type {kind} is announced at octet {offset}, where the message ends")
        following, flags, length = _GENERIC_HEADER.unpack_from(data, offset)
        stop = offset + length
        if stop < body_start or stop > end:
            raise MalformedMessage(f"payload type {kind} of {length} octets does not fit at octet {offset}")
        body = data[body_start:stop]
        decode = _DECODERS.get(kind)
        if decode is not None:  # the critical bit of a known type means nothing (§3.2)
            payloads.append(decode(body))
        elif kind == PayloadType.ENCRYPTED:
            if stop != end:
                raise MalformedMessage("payloads after the Encrypted payload, which has to be the last")
            return tuple(payloads), Encrypted(following, body, body_start)
        elif kind == PayloadType.ENCRYPTED_FRAGMENT:
            if stop != end or payloads:
                raise MalformedMessage("payloads beside an Encrypted Fragment payload, which has to be alone")
            return tuple(payloads), _decode_fragment(following, body, body_start)
        elif flags & _CRITICAL:
            raise UnsupportedCriticalPayload(kind)
        else:
            payloads.append(UnknownPayload(kind, body))
        kind = following
        offset = stop
    if offset != end:
        raise MalformedMessage(f"{end - offset} octets after the last payload")
    return tuple(payloads), None


def _decode_fragment(first_payload: int, data: bytes, start: int) -> Encrypted:
    if len(data) < _FRAGMENT.size:
        raise MalformedMessage(f"an Encrypted Fragment payload of {len(data)} octets")
    number, total = _FRAGMENT.unpack_from(data)
    if not 1 <= number <= total:
        raise MalformedMessage(f"fragment {number} of {total}")
    return Encrypted(first_payload, data[_FRAGMENT.size :], start + _FRAGMENT.size, number, total)
