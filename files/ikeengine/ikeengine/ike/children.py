# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Child SAs as a session keeps them, and their place in a rekey."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from ..negotiation.answers import ah_through_nat
from ..security_association import ChildSa, CoveredRoute, DirectionKeys
from ..vpn.model import Proposal, Protocol, Route, Tunnel
from ..wire.constants import NotifyType
from .refusal import Refusal

if TYPE_CHECKING:
    from .session import IkeSession


_SHORTEST_RETRY = 1.0


class ChildState(Enum):
    #: IKEv1: it receives, and will be a child SA once the peer confirms its Quick Mode.
    ANSWERED = "answered"
    INSTALLED = "installed"
    #: Our request to rekey it is under way.
    REKEYING = "rekeying"
    #: A rekey has made its successor; whoever won the rekey deletes it.
    REPLACED = "replaced"
    #: Our DELETE for it is under way.
    DELETING = "deleting"
    GONE = "gone"


@dataclass(slots=True, eq=False)
class Child:
    """One child SA. Times are those of the session's clock; ``lowest_nonce`` settles collisions (RFC 7296 §2.8.1)."""

    sa: ChildSa
    tunnel: Tunnel
    created_by_us: bool
    lowest_nonce: bytes
    initiated_at: float
    installed_at: float
    rekey_at: float | None
    expires_at: float | None
    state: ChildState = ChildState.INSTALLED
    inbound: bool = False
    outbound: bool = False
    #: Packets that had come when they were last looked at.
    received: int = 0
    #: The child that the peer made by rekeying this one.
    replacement: Child | None = None
    #: The child that this one replaces, while its outbound SA waits for that one's DELETE.
    replaces: Child | None = None
    outbound_due: float | None = None
    #: IKEv1: when one that was replaced goes, unless the peer closes it before.
    retires_at: float | None = None
    #: It, or its IKE SA, is to go: it serves until then, or until another child SA carries its routes.
    superseded: bool = False
    #: The peer has it, too. Our answer that made it may be lost; what the peer asks next shows that it is not.
    confirmed: bool = True
    #: How often the peer has refused to rekey it.
    refusals: int = 0
    #: It has carried nearly all the traffic that it may, so its end may come at any time.
    nearly_spent: bool = False

    @property
    def is_live(self) -> bool:
        return self.state in (ChildState.INSTALLED, ChildState.REKEYING)

    def next_timer(self) -> float | None:
        times = [time for time in (self.outbound_due, self.rekey_at if self.state is ChildState.INSTALLED else None,
                                   self.expires_at, self.retires_at) if time is not None]
        return min(times, default=None)


def check_path(session: IkeSession, tunnel: Tunnel) -> None:
    """Raises Refusal where a NAT lies between the ends of an AH tunnel: AH authenticates the outer addresses, and has
    no form in UDP (RFC 4302 §3.3.3, RFC 3715 §2.1)."""
    if session.udp_encapsulated and any(row.protocol is Protocol.AH for row in tunnel.proposals):
        raise Refusal(NotifyType.NO_PROPOSAL_CHOSEN, ah_through_nat(tunnel, session.local.address,
                                                                    session.remote.address), tunnel=tunnel.name)


def make_child(session: IkeSession, tunnel: Tunnel, agreed: Sequence[tuple[Route, Route]], proposal: Proposal, *,
               spi_in: int, spi_out: int, of_initiator: DirectionKeys, of_responder: DirectionKeys, lowest_nonce: bytes,
               created_by_us: bool, initiated_at: float, now: float, extended: bool = False) -> Child:
    """Put together what the data plane needs.

    ``agreed`` has each declared route with what was negotiated of it, ``extended`` says that sequence numbers are.
    ``created_by_us`` is whether we initiated this exchange, which need not be who initiated the IKE SA;
    ``of_initiator`` are the keys of what the exchange's initiator sends.
    """
    sa = ChildSa(
        tunnel=tunnel.name, gateway=tunnel.gateway, protocol=proposal.protocol,
        encryption=proposal.encryption, authentication=proposal.authentication,
        extended_sequence_numbers=extended, spi_in=spi_in, spi_out=spi_out,
        keys_in=of_responder if created_by_us else of_initiator,
        keys_out=of_initiator if created_by_us else of_responder,
        local=session.local, remote=session.remote, udp_encapsulated=session.udp_encapsulated,
        routes=tuple(CoveredRoute(declared, negotiated, session.context.reqid(tunnel.name, declared))
                     for declared, negotiated in agreed),
        expiration=proposal.expiration, interface=tunnel.interface.name if tunnel.interface else None)
    life = proposal.expiration.seconds
    return Child(
        sa, tunnel, created_by_us, lowest_nonce, initiated_at, now,
        rekey_at=None if life is None else now + life * rekey_fraction(session, created_by_us),
        expires_at=None if life is None else now + life)


def rekey_fraction(session: IkeSession, created_by_us: bool) -> float:
    """Where in its life an SA is rekeyed: the creator comes first, so that collisions are rare; with jitter."""
    settings = session.context.settings
    earliest, latest = settings.rekey_creator if created_by_us else settings.rekey_other
    return earliest + (latest - earliest) * session.context.fraction()


def rekey_later(session: IkeSession, sa: Child | IkeSession, now: float, *, refused: bool) -> None:
    """Ask again to rekey ``sa``, of that session or that itself: soon, or where the peer ``refused`` it ever more
    seldom, but several times before the SA's life is over, and soon where its traffic may be. Where an operator asked
    ahead of the time at which it is to be rekeyed, that stays."""
    settings = session.context.settings
    pause = settings.rekey_retry
    if refused:
        if sa.rekey_at is not None and sa.rekey_at > now:
            return
        if not (isinstance(sa, Child) and sa.nearly_spent):
            pause = min(pause * settings.retry_factor ** min(sa.refusals, 30), settings.retry_longest)
        sa.refusals += 1
    if sa.expires_at is not None:
        pause = min(pause, max(_SHORTEST_RETRY, (sa.expires_at - now) / 4))
    sa.rekey_at = now + pause * (0.5 + session.context.fraction())
