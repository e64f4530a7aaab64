# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Security Association payload: proposals and their transforms (RFC 2408 §3.4 to §3.6, RFC 2407 §4.6.1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import Struct
from typing import ClassVar, Self

from ..errors import MalformedMessage
from .attributes import Attributes, decode_attributes, encode_attributes
from .constants import IPSEC_DOI, SITUATION_IDENTITY_ONLY, PayloadType, ProtocolId

_FIXED = Struct(">II")
_PROPOSAL = Struct(">BxHBBBB")
_TRANSFORM = Struct(">BxHBB2x")
#: The SPI of an ISAKMP proposal, if any, is the cookies, which say nothing new (RFC 2408 §3.5).
_SPI_SIZES: dict[int, tuple[int, ...]] = {ProtocolId.AH: (4,), ProtocolId.ESP: (4,), ProtocolId.ISAKMP: (0, 8, 16)}
_MAX_PROPOSALS = 255
_MAX_TRANSFORMS = 512
"""In one payload. Peers that offer every suite that they have send some dozens."""


@dataclass(frozen=True, slots=True)
class Transform:
    """One suite: an algorithm's ``id``, and what ``attributes`` add to it."""

    number: int
    id: int
    attributes: Attributes = ()


@dataclass(frozen=True, slots=True)
class Proposal:
    """Suites for one protocol, of which one may be chosen. Proposals of one ``number`` belong together."""

    number: int
    protocol: int
    spi: bytes
    transforms: tuple[Transform, ...]


@dataclass(frozen=True, slots=True)
class SecurityAssociation:
    """Proposals, the sender's favourite first.

    HASH_I and HASH_R cover the initiator's body as it was on the wire (RFC 2409 §5), so one that was received keeps
    its ``octets``, and ``encode_body`` gives them back.
    """

    type: ClassVar[PayloadType] = PayloadType.SA

    proposals: tuple[Proposal, ...]
    octets: bytes = field(default=b"", repr=False, compare=False)

    def encode_body(self) -> bytes:
        if self.octets:
            return self.octets
        last = len(self.proposals) - 1
        return _FIXED.pack(IPSEC_DOI, SITUATION_IDENTITY_ONLY) + b"".join(
            _encode_proposal(proposal, PayloadType.PROPOSAL if index < last else PayloadType.NONE)
            for index, proposal in enumerate(self.proposals))

    @classmethod
    def decode_body(cls, data: bytes | memoryview) -> Self:
        if len(data) < _FIXED.size:
            raise MalformedMessage(f"SA payload: {len(data)} octets, at least {_FIXED.size} expected")
        doi, situation = _FIXED.unpack_from(data)
        if (doi, situation) != (IPSEC_DOI, SITUATION_IDENTITY_ONLY):
            raise MalformedMessage(f"SA payload: situation {situation} of domain of interpretation {doi}")
        proposals: list[Proposal] = []
        offset, end = _FIXED.size, len(data)
        budget = _MAX_TRANSFORMS
        more: int = PayloadType.PROPOSAL
        while more == PayloadType.PROPOSAL:
            if end - offset < _PROPOSAL.size:
                raise MalformedMessage(f"SA payload: a proposal is cut short at octet {offset}")
            more, length, number, protocol, spi_size, count = _PROPOSAL.unpack_from(data, offset)
            start, stop = offset + _PROPOSAL.size + spi_size, offset + length
            if stop > end or start > stop:
                raise MalformedMessage(f"SA payload: proposal {number} of {length} octets does not fit")
            if spi_size not in _SPI_SIZES.get(protocol, (spi_size,)):
                raise MalformedMessage(f"SA payload: an SPI of {spi_size} octets for protocol {protocol}")
            budget -= count
            if budget < 0 or len(proposals) == _MAX_PROPOSALS:
                raise MalformedMessage(f"SA payload: more than {_MAX_TRANSFORMS} transforms")
            spi = bytes(data[offset + _PROPOSAL.size : start])
            proposals.append(Proposal(number, protocol, spi, _decode_transforms(data, start, stop, count)))
            offset = stop
        if more != PayloadType.NONE or offset != end:
            raise MalformedMessage("SA payload: the last proposal is not where the payload ends")
        return cls(tuple(proposals), bytes(data))


def _encode_proposal(proposal: Proposal, more: int) -> bytes:
    last = len(proposal.transforms) - 1
    body = proposal.spi + b"".join(
        _encode_transform(transform, PayloadType.TRANSFORM if index < last else PayloadType.NONE)
        for index, transform in enumerate(proposal.transforms))
    length = _PROPOSAL.size + len(body)
    return _PROPOSAL.pack(more, length, proposal.number, proposal.protocol, len(proposal.spi), last + 1) + body


def _encode_transform(transform: Transform, more: int) -> bytes:
    attributes = encode_attributes(transform.attributes)
    return _TRANSFORM.pack(more, _TRANSFORM.size + len(attributes), transform.number, transform.id) + attributes


def _decode_transforms(data: bytes | memoryview, offset: int, end: int, count: int) -> tuple[Transform, ...]:
    transforms = []
    for remaining in range(count - 1, -1, -1):
        if end - offset < _TRANSFORM.size:
            raise MalformedMessage(f"SA payload: a transform is cut short at octet {offset}")
        more, length, number, identifier = _TRANSFORM.unpack_from(data, offset)
        start, stop = offset + _TRANSFORM.size, offset + length
        if stop > end or start > stop:
            raise MalformedMessage(f"SA payload: a transform of {length} octets does not fit at octet {offset}")
        if more != (PayloadType.TRANSFORM if remaining else PayloadType.NONE):
            raise MalformedMessage(f"SA payload: the transforms at octet {offset} are not {count} as announced")
        transforms.append(Transform(number, identifier, decode_attributes(data[start:stop])))
        offset = stop
    if offset != end:
        raise MalformedMessage(f"SA payload: {end - offset} octets after the last transform of a proposal")
    return tuple(transforms)
