# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a session asks of the world around it, and the figures that govern it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Protocol as Interface

from ..security_association import ChildSa, Datagram
from ..vpn.model import Gateway, IkeVersion, Protocol, Route, Tunnel
from ..vpn.selectors import Address
from ..wire.header import Header
from .account import Account
from .events import Event
from .rate import Whereabouts

if TYPE_CHECKING:
    from .children import Child
    from .session import IkeSession

NONCE_SIZE = 32  # at least half the key size of every PRF that we have (RFC 7296 §2.10)


@dataclass(frozen=True, slots=True)
class Settings:
    """Seconds, unless a name says otherwise. RFC 7296 §2.1 and §2.4 leave all of these to us."""

    retransmit_first: float = 0.5
    retransmit_factor: float = 1.8
    retransmit_longest: float = 10.0
    retransmit_tries: int = 7
    half_open_timeout: float = 30.0
    #: Half-open IKE SAs of which a responder asks for cookies (RFC 7296 §2.6).
    cookie_threshold: int = 32
    cookie_secret_lifetime: float = 60.0
    #: Half-open IKE SAs that one address may have, cookies or not: more than cookie_threshold, so that only a peer that
    #: receives at the address can use them up.
    half_open_per_address: int = 64
    #: IKEv2: half-open IKE SAs in all; then a new one takes the place of the oldest. A restart of very many peers fits
    #: in, and their memory is bounded.
    half_open_at_once: int = 8192
    #: IKEv1, which has no cookies like these: so many half-open in Main and in Aggressive Mode, then a new ISAKMP SA
    #: takes the place of an old one; how long one in Aggressive Mode keeps its place at least.
    half_open_in_all: int = 1024
    aggressive_half_open: int = 32
    aggressive_patience: float = 2.0
    #: Where in an SA's life its creator, and the other end, begin to rekey it: (earliest, latest) fraction.
    rekey_creator: tuple[float, float] = (0.80, 0.88)
    rekey_other: tuple[float, float] = (0.90, 0.96)
    #: How long the responder of a rekey waits for the peer's DELETE before it sends on the new SA all the same.
    replaced_grace: float = 5.0
    #: A rekey that was answered TEMPORARY_FAILURE is tried again after this; one that was refused more and more seldom.
    rekey_retry: float = 5.0
    #: Bringing a gateway up again: first pause, factor, longest pause.
    retry_first: float = 1.0
    retry_factor: float = 2.0
    retry_longest: float = 60.0
    #: Octets of an IP datagram above which an IKE message travels in fragments (RFC 7383 §2.5.1): IPv6's least MTU, for
    #: both families.
    largest_datagram: int = 1280
    #: MOBIKE: repetitions of a request between each other pair of addresses, once the one in use is silent.
    elsewhere_tries: int = 2
    #: IKEv1: Quick Modes of one ISAKMP SA under way at once, those of either end counted by themselves.
    quick_modes_at_once: int = 128
    #: IKEv1: Quick Modes that we begin at once with a peer that is not of our make.
    quick_modes_with_others: int = 2
    #: IKEv1: how long after its last message the peer gets to install a child SA that replaces another; what we send
    #: comes behind that message, so it is the peer's own time.
    quick_mode_grace: float = 0.2
    #: IKEv1: repetitions of a first message in Main Mode before Aggressive Mode is tried.
    fallback_tries: int = 3
    #: A second IKE SA with the same peer that its creator does not close is closed by the other end after this.
    duplicate_grace: float = 5.0
    #: A new IKE SA takes the place of another that is up: how long its responder waits for the other's DELETE before it
    #: sends on the new child SAs, which covers one loss of the answer that they come with; and how long what is on its
    #: way by the old ones gets.
    takeover_grace: float = 0.8
    #: How long an IKE SA whose terms are declared no more may stay where the peer does not take the new ones.
    replace_patience: float = 60.0
    #: Where a credential changes, how long who did not begin the IKE SA waits for its peer to authenticate anew.
    prove_second: float = 3.0
    #: Something without proof says that the peer has lost an IKE SA: it is asked so often, at this interval, whether it
    #: lives, and after that not for so long (RFC 7296 §2.4).
    doubt_tries: int = 4
    doubt_interval: float = 0.4
    doubt_pause: float = 10.0
    #: IKE SAs of one gateway, those on their way out included; then the oldest of those goes at once.
    ike_sas_of_gateway: int = 16
    #: How often a second messages and packets of SAs that we do not know are answered.
    unknown_spi_answers: int = 100
    #: With several endpoint pairs: repetitions of a beginning IKE SA's message before the next pair gets its turn.
    failover_tries: int = 2
    #: How often an earlier pair is looked at while a later one is in use; how seldom at most, where it comes and goes;
    #: and for how long it has to stay not to count as one that does.
    failback_interval: float = 30.0
    failback_longest: float = 1800.0
    steady: float = 300.0
    #: Whether sessions tell their keys (``IkeKeyed``), for whoever has to see what is in the datagrams.
    export_keys: bool = False


class Context(Interface):
    """The surroundings of a session: `IkeSaManager` is one."""

    settings: Settings

    def random(self, size: int) -> bytes: ...

    def fraction(self) -> float:
        """A random number from 0 up to 1."""

    def unix_time(self, now: float) -> float:
        """What the world's clocks show at the time ``now`` of the sessions' clock: certificates go by them."""

    def allocate_spi(self, local: Address, remote: Address, protocol: Protocol, tunnel: str) -> int:
        """Raises Refusal where the data plane has none to give."""

    def encapsulate(self, gateway: str) -> bool:
        """Whether that gateway's data plane can only do ESP in UDP."""

    def extended_sequence_numbers(self, tunnel: str) -> bool:
        """Whether that tunnel's data plane can do them (RFC 4303 §2.2.1)."""

    def reqid(self, tunnel: str, route: Route) -> int: ...

    def source(self, remote: Address) -> Address | None:
        """The host's own address from which packets to ``remote`` leave, None where no way leads there."""

    def is_acceptable(self, gateway: str, local: Address, remote: Address) -> bool:
        """Whether that gateway's data planes can go on between these addresses."""

    def received(self, child: ChildSa) -> int:
        """How many packets have come by that child SA."""

    def whereabouts(self, remote: Address) -> Whereabouts:
        """Who may be at that address; it costs nothing, however many gateways there are."""

    def candidates(self, local: Address, remote: Address, version: IkeVersion,
                   at_most: int | None = None) -> Sequence[Gateway]:
        """The gateways of that version that a peer at these addresses may be, ``at_most`` so many of them."""

    def has_spi(self, header: Header) -> bool:
        """Whether an IKE SA of ours, of whatever peer, has one of the header's SPIs for its own, or has offered
        it."""

    def offer_spi(self, spi: bytes, offered: bool) -> None:
        """Whether we have offered the SPI for an IKE SA that is not made yet."""

    def tunnels_of(self, gateway: str) -> Sequence[Tunnel]: ...

    def sibling(self, session: IkeSession) -> IkeSession | None:
        """Another IKE SA with that peer that is up, or on its way out."""

    def is_first_contact(self, session: IkeSession) -> bool:
        """Whether there is no other IKE SA with that peer (RFC 7296 §2.4)."""

    def initial_contact(self, session: IkeSession, now: float) -> None:
        """The peer says that it has no other IKE SA with us."""

    def is_wanted(self, tunnel: Tunnel, route: Route) -> bool:
        """Whether the route is still declared, under the same terms, and its tunnel not taken down."""

    def is_covered(self, gateway: str, tunnel: str, route: Route) -> bool:
        """Whether any session already holds a child SA for that route, and is not about to go."""

    def is_needed(self, session: IkeSession) -> bool:
        """Whether a route is carried by that session alone, or sent on it still."""

    def sends_elsewhere(self, session: IkeSession, child: Child) -> Child | None:
        """The child SA of another IKE SA with that peer that sends for a route of ``child``."""

    def established(self, session: IkeSession, now: float) -> None: ...

    def authenticate_anew(self, session: IkeSession, now: float) -> None:
        """Have another IKE SA made beside it, from scratch, since it cannot be rekeyed. If that fails, it serves on."""

    def settle(self, session: IkeSession, now: float, *, at_last: bool = False) -> None:
        """Have it take the place of those that it is to relieve, if it can; ``at_last`` it goes if it cannot."""

    def relocated(self, session: IkeSession, now: float) -> None:
        """It goes on by another endpoint pair."""

    def succeeded(self, old: IkeSession, new: IkeSession, now: float) -> None:
        """``new`` was made by rekeying ``old``."""

    def closed(self, session: IkeSession, now: float) -> None: ...

    def child_lost(self, session: IkeSession, tunnel: str, now: float) -> None:
        """A child SA of the tunnel went away, or could not be made, and was not replaced."""

    def remember(self, account: Account, gateway: str) -> None:
        """Keep it for whoever asks how the gateway's last negotiation went; without a name, the peer's address's."""

    def emit(self, event: Event) -> None: ...

    def send(self, datagram: Datagram) -> None: ...

    def count(self, what: str) -> None:
        """Count something dropped, by its reason."""
