# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Configuration payload (RFC 7296 §3.15)."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, Self

from .constants import PayloadType
from .errors import MalformedMessage

_FIXED = Struct(">B3x")
_ATTRIBUTE = Struct(">HH")
_TYPE_BITS = 0x7FFF  # the bit above is reserved


@dataclass(frozen=True, slots=True)
class ConfigurationAttribute:
    """A type (§3.15.1) and its value; an empty value in a request asks for any."""

    type: int
    value: bytes = b""


@dataclass(frozen=True, slots=True)
class Configuration:
    """A request for, or a grant of, addresses and other settings."""

    type: ClassVar[PayloadType] = PayloadType.CONFIGURATION

    config_type: int
    attributes: tuple[ConfigurationAttribute, ...] = ()

    def encode_body(self) -> bytes:
        return _FIXED.pack(self.config_type) + b"".join(
            [_ATTRIBUTE.pack(attribute.type, len(attribute.value)) + attribute.value for attribute in self.attributes]
        )

    @classmethod
    def decode_body(cls, data: bytes | memoryview) -> Self:
        end = len(data)
        if end < _FIXED.size:
            raise MalformedMessage(f"CONFIGURATION payload: {end} octets, at least {_FIXED.size} expected")
        attributes = []
        offset = _FIXED.size
        while offset < end:
            value_start = offset + _ATTRIBUTE.size
            if value_start > end:
                raise MalformedMessage(f"CONFIGURATION payload: an attribute is cut short at octet {offset}")
            kind, length = _ATTRIBUTE.unpack_from(data, offset)
            offset = value_start + length
            if offset > end:
                raise MalformedMessage(f"CONFIGURATION payload: an attribute of {length} octets does not fit")
            attributes.append(ConfigurationAttribute(kind & _TYPE_BITS, bytes(data[value_start:offset])))
        return cls(data[0], tuple(attributes))
