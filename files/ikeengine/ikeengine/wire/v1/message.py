# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ISAKMP messages: the header and the chain of payloads (RFC 2408 §3.1, §3.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from struct import Struct
from typing import TypeAlias

from ..errors import MalformedMessage, UnsupportedMajorVersion, WireError
from ..header import HEADER_SIZE, Header, decode_header
from ..unknown import UnknownPayload
from .certificate import Certificate, CertificateRequest
from .constants import HeaderFlag, PayloadType
from .delete import Delete
from .fragment import Fragment
from .identification import Identification
from .nonce import Nonce
from .notify import Notify
from .opaque import Hash, KeyExchange, NatDiscovery, NatDiscoveryDraft, Signature, VendorId
from .security_association import SecurityAssociation

_KnownPayload: TypeAlias = (
    SecurityAssociation
    | KeyExchange
    | Identification
    | Certificate
    | CertificateRequest
    | Hash
    | Signature
    | Nonce
    | Notify
    | Delete
    | VendorId
    | NatDiscovery
    | NatDiscoveryDraft
    | Fragment
)
Payload: TypeAlias = _KnownPayload | UnknownPayload

MAX_PAYLOADS = 128
"""Far above what any exchange needs: several certificates, and a vendor id for everything that a peer can do."""

MAJOR_VERSION = 1

_GENERIC_HEADER = Struct(">BxH")
_MAX_BODY_SIZE = 0xFFFF - _GENERIC_HEADER.size

_KNOWN: tuple[type[_KnownPayload], ...] = _KnownPayload.__args__
_DECODERS: dict[int, Callable[[bytes], _KnownPayload]] = {known.type: known.decode_body for known in _KNOWN}


@dataclass(frozen=True, slots=True)
class Chain:
    """Payloads in the order of the wire, the octets that held them without padding, and where the first one ends:
    what a HASH payload in front covers begins there."""

    payloads: tuple[Payload, ...]
    octets: bytes
    first_size: int

    @property
    def after_first(self) -> bytes:
        return self.octets[self.first_size :]


def decode_clear_message(data: bytes) -> tuple[Header, Chain | None]:
    """One datagram, without a non-ESP marker; no chain where it is encrypted. Raises WireError, by kind."""
    header = decode_header(data)
    if header.major != MAJOR_VERSION:
        raise UnsupportedMajorVersion(header.major)
    if header.flags & HeaderFlag.ENCRYPTION:
        return header, None
    chain = decode_chain(header.next_payload, data[HEADER_SIZE:])
    if len(chain.octets) != len(data) - HEADER_SIZE:
        raise MalformedMessage(f"{len(data) - HEADER_SIZE - len(chain.octets)} octets after the last payload")
    return header, chain


def decode_chain(first_type: int, data: bytes) -> Chain:
    """A chain of payloads with or without padding after it. Raises MalformedMessage."""
    payloads: list[Payload] = []
    kind, offset, first_size = first_type, 0, 0
    end = len(data)
    while kind != PayloadType.NONE:
        if len(payloads) == MAX_PAYLOADS:
            raise MalformedMessage(f"more than {MAX_PAYLOADS} payloads")
        start = offset + _GENERIC_HEADER.size
        if start > end:
            raise MalformedMessage(f"payload type {kind} is announced at octet {offset}, where the message ends")
        following, length = _GENERIC_HEADER.unpack_from(data, offset)
        stop = offset + length
        if stop < start or stop > end:
            raise MalformedMessage(f"payload type {kind} of {length} octets does not fit at octet {offset}")
        decode = _DECODERS.get(kind)
        body = data[start:stop]
        payloads.append(decode(body) if decode is not None else UnknownPayload(kind, body))
        kind, offset = following, stop
        first_size = first_size or stop
    return Chain(tuple(payloads), data[:offset], first_size)


def encode_payloads(payloads: Iterable[Payload]) -> tuple[int, bytes]:
    """The first payload's type, and the octets of the chain. Raises WireError for a payload that is too large."""
    chain: list[bytes] = []
    following: int = PayloadType.NONE
    for payload in reversed(tuple(payloads)):
        body = payload.encode_body()
        if len(body) > _MAX_BODY_SIZE:
            raise WireError(f"a body of {len(body)} octets does not fit into payload type {payload.type}")
        chain += (body, _GENERIC_HEADER.pack(following, _GENERIC_HEADER.size + len(body)))
        following = payload.type
    chain.reverse()
    return following, b"".join(chain)


def encode_behind_hash(proof: bytes, first_type: int, octets: bytes) -> bytes:
    """A HASH payload in front of a chain of that first type, which it covers."""
    return _GENERIC_HEADER.pack(first_type, _GENERIC_HEADER.size + len(proof)) + proof + octets


def encode_header(*, cookie_i: bytes, cookie_r: bytes, first_payload: int, exchange: int, flags: int, message_id: int,
                  body_size: int) -> bytes:
    """What stands before ``body_size`` octets of payloads, encrypted or not."""
    return Header(cookie_i, cookie_r, first_payload, exchange, flags, message_id, HEADER_SIZE + body_size,
                  MAJOR_VERSION).encode()


def encode_message(*, cookie_i: bytes, cookie_r: bytes, exchange: int, flags: int = 0, message_id: int = 0,
                   payloads: Iterable[Payload]) -> bytes:
    """A message in clear."""
    first_payload, chain = encode_payloads(payloads)
    return encode_header(cookie_i=cookie_i, cookie_r=cookie_r, first_payload=first_payload, exchange=exchange,
                         flags=flags, message_id=message_id, body_size=len(chain)) + chain
