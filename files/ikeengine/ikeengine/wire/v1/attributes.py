# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Data attributes (RFC 2408 §3.3): all that we know are whole numbers, in the short form or the long one."""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct
from typing import TypeAlias

from ..errors import MalformedMessage

#: (type, value) in the order of the wire, in which a life's type stands before its duration.
Attributes: TypeAlias = tuple[tuple[int, int], ...]

_HEADER = Struct(">HH")
_SHORT_FORM = 0x8000
_MOST_IN_SHORT_FORM = 0xFFFF


def encode_attributes(attributes: Iterable[tuple[int, int]]) -> bytes:
    """Each in the short form where its value fits, else in four octets or as many as it takes."""
    return b"".join([_encode(kind, value) for kind, value in attributes])


def _encode(kind: int, value: int) -> bytes:
    if value <= _MOST_IN_SHORT_FORM:
        return _HEADER.pack(kind | _SHORT_FORM, value)
    size = max(4, (value.bit_length() + 7) // 8)
    return _HEADER.pack(kind, size) + value.to_bytes(size, "big")


def decode_attributes(data: bytes | memoryview) -> Attributes:
    """All of ``data``. Raises MalformedMessage."""
    attributes = []
    offset, end = 0, len(data)
    while offset < end:
        if end - offset < _HEADER.size:
            raise MalformedMessage(f"an attribute is cut short at octet {offset}")
        kind, value = _HEADER.unpack_from(data, offset)
        offset += _HEADER.size
        if not kind & _SHORT_FORM:
            size, start = value, offset
            offset += size
            if offset > end:
                raise MalformedMessage(f"an attribute of {size} octets does not fit")
            value = int.from_bytes(data[start:offset], "big")
        attributes.append((kind & ~_SHORT_FORM, value))
    return tuple(attributes)
