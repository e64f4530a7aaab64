# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Traffic Selector payloads (RFC 7296 §3.13)."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from struct import Struct
from typing import ClassVar, Self

from .constants import PayloadType, TrafficSelectorType
from .errors import MalformedMessage

_FIXED = Struct(">B3x")
_START = Struct(">BxH")  # all that selectors of every type share
_IPV4 = Struct(">BBHHH4s4s")
_IPV6 = Struct(">BBHHH16s16s")


@dataclass(frozen=True, slots=True)
class TrafficSelector:
    """An inclusive range of addresses, of one family, and of ports; ``protocol`` 0 is any.

    Ports 65535 to 0 mean OPAQUE (RFC 4301 §4.4.1.1); for ICMP they hold types and codes.
    """

    first: IPv4Address | IPv6Address
    last: IPv4Address | IPv6Address
    protocol: int = 0
    first_port: int = 0
    last_port: int = 65535

    def encode(self) -> bytes:
        if self.first.version == 4:
            kind, form = TrafficSelectorType.IPV4_ADDR_RANGE, _IPV4
        else:
            kind, form = TrafficSelectorType.IPV6_ADDR_RANGE, _IPV6
        return form.pack(
            kind, self.protocol, form.size, self.first_port, self.last_port, self.first.packed, self.last.packed
        )


@dataclass(frozen=True, slots=True)
class TrafficSelectors:
    """What one end may send and receive. Selectors of unknown types are left out, so there may be none."""

    type: ClassVar[PayloadType]

    selectors: tuple[TrafficSelector, ...]

    def encode_body(self) -> bytes:
        return _FIXED.pack(len(self.selectors)) + b"".join([selector.encode() for selector in self.selectors])

    @classmethod
    def decode_body(cls, data: bytes | memoryview) -> Self:
        end = len(data)
        if end < _FIXED.size:
            raise MalformedMessage(f"{cls.type.name} payload: {end} octets, at least {_FIXED.size} expected")
        count = data[0]
        selectors = []
        offset = _FIXED.size
        for _selector in range(count):
            if end - offset < _START.size:
                raise MalformedMessage(f"{cls.type.name} payload: it ends before the last of {count} selectors")
            kind, length = _START.unpack_from(data, offset)
            if length < _START.size or offset + length > end:
                raise MalformedMessage(f"{cls.type.name} payload: a selector of {length} octets does not fit")
            if kind == TrafficSelectorType.IPV4_ADDR_RANGE:
                selectors.append(_decode_range(data, offset, length, _IPV4, IPv4Address))
            elif kind == TrafficSelectorType.IPV6_ADDR_RANGE:
                selectors.append(_decode_range(data, offset, length, _IPV6, IPv6Address))
            offset += length
        if offset != end:
            raise MalformedMessage(f"{cls.type.name} payload: {end - offset} octets after the last selector")
        return cls(tuple(selectors))


@dataclass(frozen=True, slots=True)
class TrafficSelectorsInitiator(TrafficSelectors):
    """TSi."""

    type: ClassVar[PayloadType] = PayloadType.TS_I


@dataclass(frozen=True, slots=True)
class TrafficSelectorsResponder(TrafficSelectors):
    """TSr."""

    type: ClassVar[PayloadType] = PayloadType.TS_R


def _decode_range(
    data: bytes | memoryview,
    offset: int,
    length: int,
    form: Struct,
    address: type[IPv4Address] | type[IPv6Address],
) -> TrafficSelector:
    if length != form.size:
        raise MalformedMessage(f"traffic selector: {length} octets, {form.size} expected")
    _kind, protocol, _length, first_port, last_port, first, last = form.unpack_from(data, offset)
    if first > last:
        raise MalformedMessage(f"traffic selector: {address(first)} is after {address(last)}")
    return TrafficSelector(address(first), address(last), protocol, first_port, last_port)
