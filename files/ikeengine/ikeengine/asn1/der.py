# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""DER (ITU-T X.690): tags, lengths and values, and of the values only object identifiers and integers."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple

_LONG = 0x80
_MORE = 0x80
_MOST_OCTETS = 128
"""Of an object identifier or an integer that is read; those that mean something have a quarter of it."""


class Tag(IntEnum):
    """Identifier octets (X.690 §8.1.2) of what we meet; constructed ones with their bit."""

    INTEGER = 0x02
    BIT_STRING = 0x03
    NULL = 0x05
    OBJECT_IDENTIFIER = 0x06
    UTF8_STRING = 0x0C
    PRINTABLE_STRING = 0x13
    TELETEX_STRING = 0x14
    IA5_STRING = 0x16
    UNIVERSAL_STRING = 0x1C
    BMP_STRING = 0x1E
    SEQUENCE = 0x30
    SET = 0x31
    CONTEXT_0 = 0xA0
    CONTEXT_1 = 0xA1
    CONTEXT_2 = 0xA2
    CONTEXT_3 = 0xA3


class DerError(ValueError):
    """The octets are no DER, or not what was expected. The text quotes none of them."""


class Element(NamedTuple):
    """``whole`` is ``body`` with its tag and length before it."""

    tag: int
    body: bytes
    whole: bytes

    def expect(self, tag: Tag) -> bytes:
        """The body. Raises DerError where the tag is another."""
        if self.tag != tag:
            raise DerError(f"{tag.name} expected, tag {self.tag:#04x} found")
        return self.body

    def members(self, tag: Tag = Tag.SEQUENCE, number: int | None = None) -> list[Element]:
        """What a SEQUENCE or SET holds, so many where a number is given. Raises DerError."""
        found = elements(self.expect(tag))
        if number not in (None, len(found)):
            raise DerError(f"{number} members expected, {len(found)} found")
        return found


def element(data: bytes) -> Element:
    """The only one in ``data``. Raises DerError."""
    found, end = _at(data, 0)
    if end < len(data):
        raise DerError(f"{len(data) - end} octets too many")
    return found


def elements(data: bytes) -> list[Element]:
    """All in ``data``, one after the other. Raises DerError."""
    found, place = [], 0
    while place < len(data):
        one, place = _at(data, place)
        found.append(one)
    return found


def _at(data: bytes, place: int) -> tuple[Element, int]:
    """The element that begins there, and where it ends."""
    start = place + 2
    if len(data) < start:
        raise DerError("it ends early")
    tag, size = data[place], data[place + 1]
    if tag & 0x1F == 0x1F:
        raise DerError("a tag of several octets")
    if size & _LONG:
        octets = data[start:start + (size & ~_LONG)]
        start += size & ~_LONG
        size = int.from_bytes(octets, "big")
        if not octets or octets[0] == 0 or size < _LONG:
            raise DerError("a length that is not the shortest")
    end = start + size
    if len(data) < end:
        raise DerError("it ends early")
    return Element(tag, data[start:end], data[place:end]), end


def encode(tag: int, *bodies: bytes) -> bytes:
    """One element that holds ``bodies`` one after the other."""
    body = b"".join(bodies)
    size = len(body)
    if size < _LONG:
        return bytes((tag, size)) + body
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, _LONG | len(octets))) + octets + body


def encode_oid(text: str) -> bytes:
    """An OBJECT IDENTIFIER from ``2.5.4.3`` (X.690 §8.19). Raises DerError where it is none."""
    try:
        first, second, *others = map(int, text.split("."))
    except ValueError:
        raise DerError("an object identifier is numbers joined by dots") from None
    if first > 2 or (first < 2 and second > 39):
        raise DerError("no object identifier begins so")
    return encode(Tag.OBJECT_IDENTIFIER, *map(_base_128, (first * 40 + second, *others)))


def _base_128(number: int) -> bytes:
    septets = [number & ~_MORE & 0xFF]
    while number := number >> 7:
        septets.append(_MORE | number & 0x7F)
    return bytes(reversed(septets))


def oid(found: Element) -> str:
    """``2.5.4.3`` from an OBJECT IDENTIFIER. Raises DerError."""
    body = found.expect(Tag.OBJECT_IDENTIFIER)
    if not body or body[-1] & _MORE or len(body) > _MOST_OCTETS:
        raise DerError("an object identifier ends early, or late")
    numbers, number = [], 0
    for at, octet in enumerate(body):
        if octet == _MORE and number == 0 and (at == 0 or not body[at - 1] & _MORE):
            raise DerError("an object identifier that is not the shortest")
        number = number << 7 | octet & 0x7F
        if not octet & _MORE:
            numbers.append(number)
            number = 0
    root = min(numbers[0] // 40, 2)
    return ".".join(map(str, (root, numbers[0] - 40 * root, *numbers[1:])))


def integer(found: Element) -> int:
    """Raises DerError."""
    body = found.expect(Tag.INTEGER)
    if not 0 < len(body) <= _MOST_OCTETS:
        raise DerError("an integer without octets, or of too many")
    return int.from_bytes(body, "big", signed=True)


def encode_integer(number: int) -> bytes:
    return encode(Tag.INTEGER, number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True))


def sequence(parts: Iterable[bytes]) -> bytes:
    return encode(Tag.SEQUENCE, *parts)
