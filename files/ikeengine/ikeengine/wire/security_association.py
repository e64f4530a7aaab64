# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Security Association payload: proposals and their transforms (RFC 7296 §3.3)."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, Self

from .constants import PayloadType, ProtocolId
from .errors import MalformedMessage

_PROPOSAL = Struct(">BxHBBBB")
_TRANSFORM = Struct(">BxHBxH")
_ATTRIBUTE = Struct(">HH")

_LAST, _MORE_PROPOSALS, _MORE_TRANSFORMS = 0, 2, 3
_KEY_LENGTH = 0x800E  # attribute type 14, its value in place of a length
_SHORT_FORM = 0x8000
_SPI_SIZES: dict[int, tuple[int, ...]] = {ProtocolId.IKE: (0, 8), ProtocolId.AH: (4,), ProtocolId.ESP: (4,)}
_MAX_PROPOSALS = 255  # a proposal's number is one octet


@dataclass(frozen=True, slots=True)
class TransformSubstructure:
    """One algorithm. ``key_bits`` is the Key Length attribute, None where it is absent.

    ``unknown_attributes`` tells that there was more than this; such a transform cannot be chosen (§3.3.6).
    """

    type: int
    id: int
    key_bits: int | None = None
    unknown_attributes: bool = False


@dataclass(frozen=True, slots=True)
class ProposalSubstructure:
    """Transforms for one protocol. ``spi`` is the sender's: 0 or 8 octets for IKE, 4 for AH and ESP."""

    number: int
    protocol: int
    spi: bytes
    transforms: tuple[TransformSubstructure, ...]


@dataclass(frozen=True, slots=True)
class SecurityAssociation:
    """Proposals, the sender's favourite first."""

    type: ClassVar[PayloadType] = PayloadType.SA

    proposals: tuple[ProposalSubstructure, ...]

    @property
    def is_choice(self) -> bool:
        """Whether it can answer an offer: one proposal, with one transform of each type (§3.3.6)."""
        if len(self.proposals) != 1:
            return False
        transforms = self.proposals[0].transforms
        return len({row.type for row in transforms}) == len(transforms)

    def encode_body(self) -> bytes:
        last = len(self.proposals) - 1
        return b"".join(
            _encode_proposal(proposal, _MORE_PROPOSALS if index < last else _LAST)
            for index, proposal in enumerate(self.proposals)
        )

    @classmethod
    def decode_body(cls, data: bytes | memoryview) -> Self:
        proposals: list[ProposalSubstructure] = []
        offset, end = 0, len(data)
        more = _MORE_PROPOSALS
        while more == _MORE_PROPOSALS:
            if end - offset < _PROPOSAL.size:
                raise MalformedMessage(f"SA payload: a proposal is cut short at octet {offset}")
            more, length, number, protocol, spi_size, transform_count = _PROPOSAL.unpack_from(data, offset)
            transforms_start, stop = offset + _PROPOSAL.size + spi_size, offset + length
            if stop > end or transforms_start > stop:
                raise MalformedMessage(f"SA payload: proposal {number} of {length} octets does not fit")
            if spi_size not in _SPI_SIZES.get(protocol, (spi_size,)):
                raise MalformedMessage(f"SA payload: an SPI of {spi_size} octets for protocol {protocol}")
            if len(proposals) == _MAX_PROPOSALS:
                raise MalformedMessage(f"SA payload: more than {_MAX_PROPOSALS} proposals")
            spi = bytes(data[offset + _PROPOSAL.size : transforms_start])
            transforms = _decode_transforms(data, transforms_start, stop, transform_count)
            proposals.append(ProposalSubstructure(number, protocol, spi, transforms))
            offset = stop
        if more != _LAST or offset != end:
            raise MalformedMessage("SA payload: the last proposal is not where the payload ends")
        return cls(tuple(proposals))


def _encode_proposal(proposal: ProposalSubstructure, more: int) -> bytes:
    last = len(proposal.transforms) - 1
    body = proposal.spi + b"".join(
        _encode_transform(transform, _MORE_TRANSFORMS if index < last else _LAST)
        for index, transform in enumerate(proposal.transforms)
    )
    length = _PROPOSAL.size + len(body)
    return _PROPOSAL.pack(more, length, proposal.number, proposal.protocol, len(proposal.spi), last + 1) + body


def _encode_transform(transform: TransformSubstructure, more: int) -> bytes:
    attributes = b"" if transform.key_bits is None else _ATTRIBUTE.pack(_KEY_LENGTH, transform.key_bits)
    return _TRANSFORM.pack(more, _TRANSFORM.size + len(attributes), transform.type, transform.id) + attributes


def _decode_transforms(
    data: bytes | memoryview, offset: int, end: int, count: int
) -> tuple[TransformSubstructure, ...]:
    transforms = []
    for remaining in range(count - 1, -1, -1):
        if end - offset < _TRANSFORM.size:
            raise MalformedMessage(f"SA payload: a transform is cut short at octet {offset}")
        more, length, kind, number = _TRANSFORM.unpack_from(data, offset)
        stop = offset + length
        if stop > end or length < _TRANSFORM.size:
            raise MalformedMessage(f"SA payload: a transform of {length} octets does not fit at octet {offset}")
        if more != (_MORE_TRANSFORMS if remaining else _LAST):
            raise MalformedMessage(f"SA payload: the transforms at octet {offset} are not {count} as announced")
        if length == _TRANSFORM.size:
            transforms.append(TransformSubstructure(kind, number))
        else:
            key_bits, unknown = _decode_attributes(data, offset + _TRANSFORM.size, stop)
            transforms.append(TransformSubstructure(kind, number, key_bits, unknown))
        offset = stop
    if offset != end:
        raise MalformedMessage(f"SA payload: {end - offset} octets after the last transform of a proposal")
    return tuple(transforms)


def _decode_attributes(data: bytes | memoryview, offset: int, end: int) -> tuple[int | None, bool]:
    """The Key Length in bits, if any, and whether there is anything but one Key Length (§3.3.5)."""
    key_bits: int | None = None
    unknown = False
    while offset < end:
        if end - offset < _ATTRIBUTE.size:
            raise MalformedMessage(f"SA payload: a transform attribute is cut short at octet {offset}")
        kind, value = _ATTRIBUTE.unpack_from(data, offset)
        offset += _ATTRIBUTE.size
        if kind == _KEY_LENGTH and key_bits is None:
            key_bits = value
            continue
        unknown = True
        if not kind & _SHORT_FORM:
            offset += value
    if offset != end:
        raise MalformedMessage("SA payload: a transform attribute reaches beyond its transform")
    return key_bits, unknown
