# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every data plane does. The daemon speaks to this and to nothing below it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol as Interface
from typing import TypeAlias

from ..security_association import ChildSa, Path, SocketAddress
from ..vpn.model import Protocol, Route
from ..vpn.selectors import Address, Selector
from .device import Device


class DataPlaneError(Exception):
    """An operation on the data plane failed; the text says which, on what, and what would mend it."""


@dataclass(frozen=True, slots=True)
class Protection:
    """One tunnel route that must never travel in clear: the policies that stand whether or not an SA is there.

    The addresses are those of the SAs to come; the unspecified one stands for an address that is not known before.
    ``local_only`` is what lies within the route's remote side and is near all the same: what passes between there and
    the local side is no traffic of the tunnel's. ``routed`` is what is declared of a virtual interface, whose SAs are
    for whatever is routed into it: it is about what is in ``device``, a name, and nothing else of the host.
    """

    tunnel: str
    route: Route
    reqid: int
    protocol: Protocol
    local: Address
    remote: Address
    local_only: tuple[Selector, ...] = ()
    routed: tuple[Route, ...] = ()
    device: str | None = None

    @property
    def directed(self) -> tuple[Route, ...]:
        """The routes that may say which side opens connections."""
        return self.routed or (self.route,)


@dataclass(frozen=True, slots=True)
class Counters:
    """What an SA pair has carried. Octets are of inner packets."""

    packets_in: int = 0
    octets_in: int = 0
    packets_out: int = 0
    octets_out: int = 0


@dataclass(frozen=True, slots=True)
class Acquire:
    """Traffic matched a protection that has no outbound SA."""

    reqid: int


@dataclass(frozen=True, slots=True)
class Expired:
    """An SA reached its soft (rekey now) or hard (gone) limit of octets."""

    spi_in: int
    hard: bool


@dataclass(frozen=True, slots=True)
class Moved:
    """An authentic packet of an SA, newer than all before it, came from another ``remote`` than the peer's (RFC 7296
    §2.23). Whether to follow is not for the data plane to say."""

    spi_in: int
    local: SocketAddress
    remote: SocketAddress


@dataclass(frozen=True, slots=True)
class Departure:
    """What somebody else has changed of what stands in a kernel for us. ``spi_in`` names an SA pair that it has not
    whole any more: its keys must not be installed again, since that would repeat sequence numbers."""

    what: str
    expected: str
    found: str
    spi_in: int | None = None


DataPlaneEvent: TypeAlias = Acquire | Expired | Moved


class DataPlane(Interface):
    """A kernel's or our own ESP. Every method is synchronous, quick, and raises DataPlaneError."""

    name: str
    #: True where SAs are always UDP encapsulated, so that sessions must negotiate encapsulation.
    always_encapsulates: bool
    #: Whether its SAs can have 64-bit sequence numbers.
    extended_sequence_numbers: bool
    #: What its devices of route-based tunnels are: ``xfrm``, ``vti`` or ``tun``; None where it can have none.
    device_kind: str | None

    @property
    def drops(self) -> Mapping[str, int]:
        """How many packets it let go no further, by reason; the kernel's own are in /proc/net/xfrm_stat."""

    def start(self, on_event: Callable[[DataPlaneEvent], None]) -> Iterable[Path]:
        """Clear away the SAs that an earlier run of the daemon left, and begin to hear events; returns between which
        ends those SAs were, as far as that is known.

        Its protections stand until they are installed again or ``clear_leftovers`` is called, so nothing leaks.
        """

    def clear_leftovers(self) -> None:
        """Once every wanted protection is installed: remove those of an earlier run that nobody wanted again."""

    def allocate_spi(self, local: Address, remote: Address, protocol: Protocol) -> int:
        """An inbound SPI that nothing on this host uses, at least 256 (RFC 4303 §2.1)."""

    def block(self, *devices: Device) -> None:
        """Have what is to be routed into these devices refused, from now until they are provided or withdrawn: whatever
        has their names, numbers or routes now may go before they are there."""

    def provide(self, device: Device) -> None:
        """Have a route-based tunnel's device as it is described: made, taken over from an earlier run, or changed in
        place. Without an SA what is routed there is dropped. Of two that are for the same networks, the one that was
        provided last has them."""

    def withdraw(self, device: Device) -> None:
        """Take it away with its addresses and routes; the protections of it went before."""

    def protect(self, *protections: Protection) -> None:
        """Install the routes' policies. Until an SA is there their traffic is dropped, in both directions."""

    def unprotect(self, *protections: Protection) -> None:
        """Remove the routes' policies, but those that another protection shares. Unknown ones are no error."""

    def add_inbound(self, child: ChildSa) -> None:
        """Begin to accept what the peer sends on ``spi_in``."""

    def add_outbound(self, child: ChildSa) -> None:
        """Begin to send on ``spi_out``; for the routes that it carries it takes the place of earlier outbound SAs."""

    def move(self, child: ChildSa) -> None:
        """The outer path is now as ``child`` has it (a NAT mapping moved, a host has another address): keep keys,
        sequence numbers and replay window."""

    def remove(self, child: ChildSa) -> None:
        """Forget both directions; the protection stays. Removing what is gone is no error."""

    def counters(self, child: ChildSa) -> Counters: ...

    def packets_in(self, child: ChildSa) -> int:
        """How many packets came by it."""

    def receive(self, packets: Sequence[bytes], local: SocketAddress, remote: SocketAddress, ecn: int) -> None:
        """Datagrams from the NAT traversal port that are ESP (RFC 3948 §2.1), where the daemon's socket got them.

        ``ecn`` is that field of the IP headers around them (RFC 3168 §5).
        """

    def audit(self) -> list[Departure]:
        """In what the kernel departs from all that was installed here and not removed."""

    def restore(self) -> None:
        """Put up again what protects the routes, and take away what else looks like it. SAs stay as they are."""

    def stop(self, keep_protection: bool) -> None:
        """Remove the SAs, and the protections and devices unless they are to be kept (a restart: nothing may leak
        meanwhile)."""
