# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which addresses may use a tunnel: a host, a network or an address range, of one address family."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Selector:
    """All addresses from ``first`` to ``last``, both included, of one family.

    A host, a network and a range of the same addresses are equal: RFC 7296 §3.13.1 knows only ranges. ``version`` is
    4 or 6; ``low`` and ``high`` are the addresses as numbers, which compare much faster; ``is_range`` says that no one
    prefix covers exactly these addresses.
    """

    first: Address = field(compare=False)
    last: Address = field(compare=False)
    version: int = field(init=False, repr=False)
    low: int = field(init=False, repr=False)
    high: int = field(init=False, repr=False)
    is_range: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        low, high = int(self.first), int(self.last)
        span = high - low
        object.__setattr__(self, "version", self.first.version)
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)
        object.__setattr__(self, "is_range", span & (span + 1) != 0 or low & span != 0)

    @classmethod
    def parse(cls, text: str) -> Selector:
        """Read ``192.0.2.1``, ``192.0.2.0/24`` or ``192.0.2.10-192.0.2.20``, or their IPv6 likes.

        Raises ValueError with a sentence that says what is wrong with the text.
        """
        text = text.strip()
        if "%" in text:
            raise ValueError("an address with a scope means nothing to the peer")
        first, dash, last = (part.strip() for part in text.partition("-"))
        if dash:
            return cls.between(_end(first), _end(last))
        try:
            return cls.of(ipaddress.ip_network(text, strict=True))
        except ValueError as error:
            if "host bits" in str(error):
                network = ipaddress.ip_network(text, strict=False)
                raise ValueError(f"{text} has host bits set; the network is {network}") from None
            raise ValueError(f"{text!r} is no host, network or address range") from None

    @classmethod
    def of(cls, network: Network) -> Selector:
        return cls(network.network_address, network.broadcast_address)

    @classmethod
    def between(cls, first: Address, last: Address) -> Selector:
        """Raises ValueError where the two are of different families or in the wrong order."""
        if first.version != last.version:
            raise ValueError(f"{first} and {last} are of different address families")
        if int(first) > int(last):
            raise ValueError(f"{first} comes after {last}")
        return cls(first, last)

    @property
    def is_everything(self) -> bool:
        """Whether it is its family's default route."""
        return self.low == 0 and self.high == 2 ** self.last.max_prefixlen - 1

    def contains(self, other: Selector) -> bool:
        return self.low <= other.low and other.high <= self.high and self.version == other.version

    def overlaps(self, other: Selector) -> bool:
        return self.low <= other.high and other.low <= self.high and self.version == other.version

    def intersection(self, other: Selector) -> Selector | None:
        """The addresses in both, or None."""
        if not self.overlaps(other):
            return None
        return Selector(self.first if self.low >= other.low else other.first,
                        self.last if self.high <= other.high else other.last)

    def prefixes(self) -> tuple[Network, ...]:
        """The fewest prefixes that cover exactly these addresses: what kernel policies and routes are made of."""
        if isinstance(self.first, IPv4Address) and isinstance(self.last, IPv4Address):
            return tuple(ipaddress.summarize_address_range(self.first, self.last))
        if isinstance(self.first, IPv6Address) and isinstance(self.last, IPv6Address):
            return tuple(ipaddress.summarize_address_range(self.first, self.last))
        raise ValueError(f"{self.first} and {self.last} are of different address families")

    def __str__(self) -> str:
        prefixes = self.prefixes() if self.first != self.last else ()
        if not prefixes:
            return str(self.first)
        return str(prefixes[0]) if len(prefixes) == 1 else f"{self.first}-{self.last}"


def _end(text: str) -> Address:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        raise ValueError(f"{text!r} is no address, so this is no range of addresses") from None
