# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One IKE SA at one end, whatever its version: what it is, its child SAs, and what may be asked of it. Sans-I/O."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from ..negotiation.answers import another_version, not_sent, silent, undeclared
from ..negotiation.reasons import Reason
from ..security_association import CoveredRoute, Datagram, Path, SocketAddress
from ..vpn.model import EndpointPair, Gateway, IkeVersion, Route, Tunnel
from ..vpn.selectors import Address
from ..wire.header import Header
from .account import Account
from .children import Child, ChildState, rekey_fraction
from .events import ChildInbound, ChildMoved, ChildOutbound, ChildRemoved, Failed, IkeClosed, PathMoved
from .last_heard import LastHeard
from .proofs import Proofs
from .state import IKE_PORT, NAT_TRAVERSAL_PORT, NO_SPI, State
from .trial import Trial

if TYPE_CHECKING:
    from .context import Context

_NAT_KEEP_ALIVE = b"\xff"  # RFC 3948 §2.3
#: Seconds for which a peer that leaves a question unanswered is silent where none are declared.
_IDLE = 30.0


class IkeSession(ABC):
    """``gateway`` is None at a responder until it knows who the peer is; so is ``pair``, its endpoint pair that is in
    use.

    ``spi_i`` and ``spi_r`` are the IKE SA's SPIs, which IKEv1 calls cookies: 8 octets.
    """

    version: ClassVar[IkeVersion]

    def __init__(self, context: Context, *, initiator: bool, gateway: Gateway | None, local: SocketAddress,
                 remote: SocketAddress, now: float, pair: EndpointPair | None = None) -> None:
        self.context = context
        self.initiator = initiator
        #: Whether we initiated the first of the IKE SAs that took over from each other (RFC 4555 §1.3).
        self.originator = initiator
        self.gateway = gateway
        self.pair = pair
        self.candidates: tuple[Gateway, ...] = (gateway,) if gateway else ()
        self.local = local
        self.remote = remote
        self.state = State.INITIATING if initiator else State.RESPONDING
        self.spi_i = context.random(8) if initiator else NO_SPI
        self.spi_r = NO_SPI if initiator else context.random(8)
        self.nonce_i = b""
        self.nonce_r = b""
        self.created_at = now
        self.established_at: float | None = None
        #: It looks whether an endpoint pair is there again, beside an IKE SA that is up: its failure is no news.
        self.is_probe = False
        #: The peer has shown to have it up as well: our answer, which makes it so there, may be lost.
        self.confirmed = initiator
        #: It is to take the place of others, and it is open whether it can (`relieve`).
        self.trial: Trial | None = None
        #: There is another with the peer, and it is open which of them goes.
        self._contested = False
        #: Repetitions of a message before the IKE SA is up, where they are fewer than usual.
        self.tries: int | None = None
        #: Why it closed, if that was without success or for want of a living peer.
        self.failure: Reason | str | None = None
        self.nat_detected = False
        self.behind_nat = False
        self.peer_behind_nat = False
        #: (local, remote) of the last authentic message.
        self.came_by = local, remote
        self.remote_identity = ""
        self.proofs = Proofs()
        #: Which of the accepted pre-shared keys an initiator proves itself by, and whether the peer refused that.
        self.key_turn = 0
        self.key_refused = False

        self.account = Account(self.version, initiator, now, local, remote, pair)
        self.children: list[Child] = []
        self.rekey_at: float | None = None
        #: How often the peer has refused to rekey it.
        self.refusals = 0
        self.expires_at: float | None = None
        self._half_open_until: float | None = None if initiator else now + context.settings.half_open_timeout
        self._last_heard = LastHeard(now)
        #: Something says that the peer has lost it, and nothing that the peer has it.
        self.doubted = False
        self._doubted_at = self._hinted_at = -math.inf
        self._sent_at = now
        #: Why what was sent last did not leave this host, if it did not.
        self.unsent = ""
        #: Another is to be made in its place, beside it.
        self.superseded = False
        self._leave_at: tuple[float, str] | None = None
        self._leave_by = now
        self._gives_way = False
        self._replaced = False

        # The manager's notes.
        #: Takes it from those that are half-open, if it is one.
        self.no_longer_half_open: Callable[[], None] | None = None
        self.noted_timer: float | None = None
        self.noted_address: Address | None = None

    # ---------------------------------------------------------------------------------------------- what it is

    @property
    @abstractmethod
    def suite(self) -> str:
        """As the operator writes it: ``AES-256/SHA2-256/group 14``."""

    @property
    def own_spi(self) -> bytes:
        return self.spi_i if self.initiator else self.spi_r

    @property
    def udp_encapsulated(self) -> bool:
        return self.nat_detected

    @property
    def is_mobile(self) -> bool:
        """Whether both ends know how to go on between other addresses (RFC 4555)."""
        return False

    @property
    def lowest_nonce(self) -> bytes:
        """Settles which of two IKE SAs stays (RFC 7296 §2.8.1, §2.8.2)."""
        return min(self.nonce_i, self.nonce_r)

    @property
    def is_replaced(self) -> bool:
        return self._replaced

    @property
    def holder(self) -> IkeSession:
        """Who has its child SAs: another IKE SA with the same peer, where this one gave way to it or will follow it."""
        return self

    @property
    def name(self) -> str:
        return self.gateway.name if self.gateway else ""

    @property
    def last_exchange(self) -> tuple[bytes, tuple[bytes, ...]] | None:
        """The (first) datagram of the peer's last protected request, and those of our answer, for its retransmission to
        one that has closed since."""
        return None

    def child_by_spi_out(self, protocol: int, octets: bytes) -> Child | None:
        """The child SA of that protocol (its number) on which the peer receives by that SPI."""
        spi = int.from_bytes(octets, "big")
        return next((child for child in self.children
                     if child.sa.spi_out == spi and child.sa.protocol.value == protocol), None)

    def children_by_spi_out(self) -> dict[tuple[int, bytes], Child]:
        """The child SAs by protocol (its number) and by the SPI, 4 octets, on which the peer receives."""
        return {(child.sa.protocol.value, child.sa.spi_out.to_bytes(4, "big")): child for child in self.children}

    @property
    def serves(self) -> bool:
        """It is up, and meant to stay so."""
        return self.state is State.ESTABLISHED and not self._gives_way and not self.superseded

    @property
    def is_going(self) -> bool:
        """Another serves in its place, or it is being closed."""
        return self._gives_way or self.state in (State.REPLACED, State.CLOSING)

    def covered(self) -> set[tuple[str, Route]]:
        """The routes, by tunnel, that need no other child SA."""
        if self._gives_way:
            return set()
        return {(child.sa.tunnel, route) for child in self.children if child.is_live and not child.superseded
                for route in child.sa.declared}

    def is_covered(self, tunnel: str, route: Route) -> bool:
        return not self._gives_way and any(child.is_live and not child.superseded and child.sa.covers(tunnel, route)
                                           for child in self.children)

    def needs_no_other(self, tunnel: str, route: Route) -> bool:
        """Whether the route needs no other child SA here: one on trial, or to be, has to carry what others carry."""
        alone = self.trial is not None or self.is_probe
        return self.is_covered(tunnel, route) if alone else self.context.is_covered(self.name, tunnel, route)

    def carried(self, *, confirmed: bool) -> set[tuple[str, Route]]:
        """The routes, by tunnel, of its live child SAs, or of those of them that are known at both ends."""
        return {(child.sa.tunnel, route) for child in self.children if child.is_live and child.confirmed >= confirmed
                for route in child.sa.declared}

    def began_after(self, other: IkeSession) -> bool:
        """Whether it began when ``other`` was up: the peer authenticates anew, has lost its memory or goes over to
        other endpoints; else both ends initiated at once. Rekeying makes neither of them younger."""
        up = other.account.established_at
        return up is not None and self.account.began_at > up

    def hands_children_to(self, winner: IkeSession) -> bool:
        """Whether one that takes its place has its child SAs, too, and need not make them anew."""
        return False

    def describe_identities(self) -> tuple[str, str]:
        """(local, remote) as status shows them."""
        if self.pair is None:
            return "", self.remote_identity
        return self.pair.local.identity.value, self.remote_identity or self.pair.remote.identity.value

    def pairs_of(self, gateway: Gateway) -> tuple[EndpointPair, ...]:
        """The endpoint pairs of which one is in use if this is the gateway: an initiator knows, a responder goes by
        the addresses between which the peer began."""
        if self.initiator and self.pair is not None:
            return (self.pair,)
        return gateway.pairs_between(self.account.local.address, self.account.remote.address)

    def is_with(self, gateway: Gateway, pair: EndpointPair) -> None:
        """It turns out who the peer is, and by which endpoint pair."""
        self.gateway, self.pair, self.account.pair = gateway, pair, pair

    def nobody(self) -> Reason:
        """Why no gateway is a candidate."""
        local, remote = self.local.address, self.remote.address
        others = self.candidates = tuple(
            row for version in IkeVersion for row in self.context.candidates(local, remote, version))
        return another_version(others[0], remote, self.version) if others else undeclared(local, remote)

    def silence(self, message: str) -> Reason:
        """Why no answer came to that."""
        return not_sent(self.remote.address, message, self.unsent) if self.unsent else silent(self.remote, message)

    @property
    def is_proven(self) -> bool:
        """Whether both ends have shown that they take each other by what is declared now."""
        return self.gateway is not None and self.proofs.are_of(self.gateway.credential)

    def tunnels(self) -> Sequence[Tunnel]:
        return self.context.tunnels_of(self.name)

    # ---------------------------------------------------------------------------------------------- orders

    @abstractmethod
    def begin(self, now: float) -> None:
        """As initiator: send the first message."""

    @abstractmethod
    def ask_for(self, wanted: Iterable[tuple[Tunnel, Route]], now: float) -> None:
        """Bring up a child SA for each of the routes, once the IKE SA is up; one that is under way already is no second
        time."""

    @abstractmethod
    def asked_for(self) -> set[tuple[str, Route]]:
        """The routes, by tunnel, whose first child SA is under way or waits."""

    @abstractmethod
    def rekey(self, now: float) -> None:
        """Replace this IKE SA by a new one, unless that is under way."""

    @abstractmethod
    def rekey_child(self, child: Child, now: float) -> None: ...

    @abstractmethod
    def probe(self, now: float) -> None:
        """See whether the peer lives: which also shows it where we are, if our NAT has another mapping."""

    def path_changed(self, source: Address | None, now: float) -> bool:
        """Packets to the peer take another way and leave from ``source``, None where no way leads there. Whether it
        goes on all the same; if not, another one is to take its place."""
        if self.state is State.ESTABLISHED and source is None:
            self.lost_way(now)
        if source is None or source == self.local.address or (
                self.pair is not None and self.pair.local.address is not None):
            if self.state is State.ESTABLISHED and self.behind_nat and source is not None:
                self.probe(now)
            return True
        return self.state is State.ESTABLISHED and self.leave_from(source, now)

    def lost_way(self, now: float) -> None:  # noqa: B027 - most can only wait for another
        """No way leads to the peer's address any more."""

    def leave_from(self, source: Address, now: float) -> bool:
        """Go on from another address of ours; False where the peer would not follow."""
        return False

    @abstractmethod
    def delete_child(self, child: Child, reason: str, now: float) -> None:
        """Close the child SA at both ends."""

    @abstractmethod
    def leave(self, reason: str, now: float) -> None:
        """Close it with a DELETE."""

    def drop(self, reason: str, now: float) -> None:
        """Close it with a DELETE whose answer is not waited for."""
        self.leave(reason, now)

    # ---------------------------------------------------------------------------------------------- in and out

    @abstractmethod
    def is_meant(self, header: Header) -> bool:
        """Whether a message that has our SPI in one of its places is of this IKE SA."""

    @abstractmethod
    def receive(self, datagram: Datagram, now: float) -> None:
        """Take a message that is meant for this IKE SA. Whatever its octets, it raises nothing."""

    @abstractmethod
    def next_timer(self) -> float | None:
        """When `handle_timer` wants to be called, or None."""

    @abstractmethod
    def handle_timer(self, now: float) -> None:
        """Do all that is due."""

    def transmit(self, data: bytes, now: float, path: Path | None = None) -> None:
        self._sent_at, self.unsent = now, ""
        self.context.send(Datagram(*(path or (self.local, self.remote)), data))

    def heard(self, datagram: Datagram, now: float) -> None:
        """Something authentic came: the peer lives; one behind a NAT may have a new mapping (RFC 7296 §2.23)."""
        self._last_heard.heard(now)
        self.doubted = False
        self.came_by = datagram.local, datagram.remote
        if self.came_by != (self.local, self.remote) and self.follows_messages:
            self.move(*self.came_by)
        if not self.confirmed and self.established_at is not None:
            self.confirm(now)

    def confirm(self, now: float) -> None:
        """The peer has shown that it has this IKE SA, and all its child SAs."""
        self.confirmed = True
        for child in self.children:
            child.confirmed = True
        if self.trial is not None:
            self.context.settle(self, now)

    @property
    def follows_messages(self) -> bool:
        """Whether any authentic message shows where the peer is, as its packets do."""
        return self.follows_packets

    @property
    def follows_packets(self) -> bool:
        """Whether what is authentic shows where the peer is: behind a NAT it may have a new mapping (RFC 7296 §2.23).

        An end behind a NAT itself that initiated does not follow: its mapping belongs to the peer of before. That of a
        responder's own NAT is there for good, so that the next packet of the real peer puts right what a captured one
        did."""
        return self.state is State.RESPONDING or (
            self.peer_behind_nat and not (self.behind_nat and self.originator))

    def follow_packet(self, local: SocketAddress, remote: SocketAddress, now: float) -> None:
        """An authentic packet of a child SA came by that path, and `follows_packets` says that it shows something."""
        self.move(local, remote)

    def move(self, local: SocketAddress, remote: SocketAddress) -> None:
        """The path between the two ends is another one, for the IKE SA and for its child SAs."""
        self.relocate(local, remote)
        self.move_children()

    def relocate(self, local: SocketAddress, remote: SocketAddress) -> None:
        """The path is another one for the IKE SA."""
        for session in (self, self.holder):
            session.local, session.remote = local, remote

    def move_children(self, encapsulated: bool | None = None) -> None:
        """Have the child SAs take the IKE SA's path, in UDP or not, or as they are."""
        number = 0
        for child in self.holder.children:
            moved = replace(child.sa, local=self.local, remote=self.remote,
                            udp_encapsulated=child.sa.udp_encapsulated if encapsulated is None else encapsulated)
            if moved != child.sa:
                child.sa = moved
                number += 1
                self.context.emit(ChildMoved(moved))
        if number:
            self.context.emit(PathMoved(self.name, self.local, self.remote, number))

    def float_to_nat_traversal_port(self) -> None:
        """An initiator goes on at port 4500 once a NAT was seen (RFC 7296 §2.23, RFC 3947 §4)."""
        if self.local.port == IKE_PORT:
            self.local = SocketAddress(self.local.address, NAT_TRAVERSAL_PORT)
        if self.remote.port == IKE_PORT:
            self.remote = SocketAddress(self.remote.address, NAT_TRAVERSAL_PORT)

    # ---------------------------------------------------------------------------------------------- becoming and ending

    def begin_lifetime(self, life: int, now: float) -> None:
        """``life`` is the IKE SA's, in seconds."""
        self.rekey_at = now + life * rekey_fraction(self, self.initiator)
        self.expires_at = now + life

    def relieve(self, other: IkeSession, now: float) -> None:
        """Take the place of another IKE SA with the peer as soon as both ends have this one and it carries all that the
        other does. Until then the other serves, and no child SA here sends for a route that another sends for."""
        self.trial = self.trial or Trial(self, now)
        self.trial.add(other)
        self._contested = other._contested = True

    def relieved(self) -> None:
        """It has taken the place of the others, and sends."""
        self.trial, self._contested = None, False
        for child in list(self.children):
            if child.is_live and child.replaces is not None and child.replaces not in self.children:
                self.activate_outbound(child)

    def leave_at(self, time: float, reason: str) -> None:
        """Close it with a DELETE at that time, if the peer has not; until then it sends nothing more."""
        self._leave_at, self._gives_way = (time, reason), True
        self.trial = None
        self._leave_by = time + self.context.settings.half_open_timeout
        for child in self.children:
            if child.replaces is not None and child.replaces not in self.children:
                child.replaces = child.outbound_due = None

    def supersede(self, wanted: bool = True) -> None:
        """Another is to be made in its place; or, where that is not ``wanted`` any more, it counts as before."""
        self.superseded = wanted
        for child in self.children:
            child.superseded = wanted

    def _leaves(self, now: float) -> str | None:
        """Why it is time to leave, if it is: not while a route hangs on it that another IKE SA is about to have."""
        if self._leave_at is None or now < self._leave_at[0]:
            return None
        reason = self._leave_at[1]
        if now < self._leave_by and self.context.is_needed(self):
            self._leave_at = now + self.context.settings.takeover_grace, reason
            return None
        self._leave_at = None
        return reason

    def stay(self) -> None:
        """Whatever it was to give way to is gone: it serves again."""
        if self._gives_way:
            self._leave_at, self._gives_way = None, False
            for child in self.children:
                if child.is_live and child.replaces is None:
                    self.activate_outbound(child)

    def give_way(self, winner: IkeSession, reason: str, now: float) -> None:
        """Another IKE SA with the same peer stays, and this one goes: closed by whoever created it where both ends
        initiated at once, else by either, should the peer not do it. We close what the peer leaves be."""
        settings = self.context.settings
        if winner.began_after(self):
            pause = settings.takeover_grace if winner.initiator else settings.duplicate_grace
        else:
            pause = settings.takeover_grace if self.initiator else settings.duplicate_grace
        self.leave_at(now + pause, reason)

    def fail(self, reason: Reason | str, notify: str | None = None, *, tunnel: str | None = None) -> None:
        """Say that a negotiation, of the tunnel where one is named, ended without success; ``notify`` is the wire's
        word for it."""
        name = self.candidates[0].name if self.gateway is None and len(self.candidates) == 1 else self.name
        where = f"gateway {name}" if name else f"peer {self.remote.address}"
        if tunnel is not None:
            where = f"tunnel {tunnel} of {name}"
        words = (Reason(reason) if isinstance(reason, str) else reason).at(where)
        self.account.fail(words, notify, tunnel)
        if not self.is_probe:
            self.context.remember(self.account, name)
            self.context.emit(Failed(name, tunnel, notify, words))

    def close(self, reason: Reason | str, now: float, *, failed: bool = False, notify: str | None = None) -> None:
        """Forget everything; nothing is sent. ``failed`` says that a negotiation ended without success, ``notify`` by
        which word of the wire."""
        if self.state is State.CLOSED:
            return
        was_up = self.established_at is not None
        failed = failed and (self.confirmed or self.trial is None)  # else the peer never went on with it: no news
        self.state, self.failure = State.CLOSED, reason if failed else None
        text = str(reason)
        self._abandon(text, now)
        for child in list(self.children):
            self.remove_child(child, text)
        if failed:
            self.fail(reason, notify)
        if was_up:
            self.context.emit(IkeClosed(self.name, self.spi_i, self.spi_r, text))
        self.context.closed(self, now)

    @abstractmethod
    def _abandon(self, reason: str, now: float) -> None:
        """End what is under way and forget what waits: the IKE SA is closed."""

    # ---------------------------------------------------------------------------------------------- child SAs

    def add_child(self, child: Child, now: float) -> None:
        """Install a new child SA: inbound now; outbound too, unless it waits for the end of the one that it replaces
        or is about to go itself. One that was taken down, or declared otherwise, while its exchange was under way is
        not installed but deleted."""
        if not all(self.context.is_wanted(child.tunnel, route) for route in child.sa.declared):
            self.delete_child(child, "it is not wanted any more", now)
            return
        reqids = set(child.sa.reqids)
        twins = [row for row in self.children if row is not child and row.is_live and row.replacement is not child
                 and not reqids.isdisjoint(row.sa.reqids)
                 and _one_needless(set(row.sa.routes), set(child.sa.routes))]
        if child not in self.children:
            self.children.append(child)
        child.superseded = self.superseded
        self.install_inbound(child)
        losers = [self._settle(child, twin, now) for twin in twins]
        if child.replaces is not None or child in losers or self._gives_way:
            return
        waits = self._contested or not child.created_by_us
        elsewhere = self.context.sends_elsewhere(self, child) if waits else None
        if elsewhere is None:
            child.outbound = True
            self.context.emit(ChildOutbound(child.sa))
        else:
            child.replaces = elsewhere
            child.outbound_due = None if self._contested else now + self.context.settings.takeover_grace
        if self.trial is not None:
            self.context.settle(self, now)

    def _settle(self, one: Child, other: Child, now: float) -> Child:
        """Both ends made a child SA for one route at once, new or by rekeying: the one with the lowest nonce is closed
        by the end that created it (RFC 7296 §2.8.1); or the one that carries less, if one does; or of two that one end
        made, the one that it began first. Returns it."""
        at_once = one.created_by_us is not other.created_by_us
        ranks = [(len(set(row.sa.routes)), 0.0 if at_once else row.initiated_at, row.lowest_nonce)
                 for row in (one, other)]
        loser = one if ranks[0] < ranks[1] else other
        if loser.created_by_us and loser.state is ChildState.INSTALLED:
            self.delete_child(loser, "a second SA for the same route stays", now)
        return loser

    def install_inbound(self, child: Child) -> None:
        """Receive on the new child SA, unless that is so already."""
        if not child.inbound:
            child.inbound = True
            self.context.emit(ChildInbound(child.sa))

    def activate_outbound(self, child: Child) -> None:
        """Send on the new child SA: the peer has ceased to use the old one. One that was rekeyed itself since then is
        passed over, since a data plane sends on what comes last."""
        if child.outbound or child.state is ChildState.GONE:
            return
        child.outbound_due = None
        replaced, child.replaces = child.replaces, None
        later = self.children[self.children.index(child) + 1:] if child in self.children else []
        if not any(row.outbound and row.is_live and set(child.sa.routes) <= set(row.sa.routes) for row in later):
            child.outbound = True
            self.context.emit(ChildOutbound(child.sa, replaced.sa if replaced else None))

    def remove_child(self, child: Child, reason: str) -> None:
        if child in self.children:
            self.children.remove(child)
            child.state = ChildState.GONE
            self.context.emit(ChildRemoved(child.sa, reason))

    # ---------------------------------------------------------------------------------------------- time

    def takes_hint(self, now: float) -> bool:
        """Whether the last one is so long ago that another is heard: whoever can make one up makes us ask. One from
        before the IKE SA was up was about what the peer had had."""
        counts = self.established_at is None or self._hinted_at >= self.established_at
        return not counts or now >= self._hinted_at + self.context.settings.doubt_pause

    def hear_hint(self, now: float) -> None:
        """Somebody says who need not know anything of it that the peer has lost it: ask at once whether it lives (RFC
        7296 §2.21.4). A peer that has will say so in its answer; silence is borne for as long as ever."""
        self._hinted_at = now
        self._ask_at_once(now)

    def doubt(self, now: float) -> None:
        """Somebody says who knows its SPIs, but proves nothing, that the peer has lost it: ask whether it lives, at
        once and not for long (RFC 7296 §2.4, §2.21.4); seldom, for the same reason."""
        settings = self.context.settings
        if now >= self._doubted_at + settings.doubt_pause:
            self._doubted_at, self.doubted = now, True
            self._last_heard.doubt(self.holder.children, self.context.received)
            self._ask_soon(now)

    @abstractmethod
    def _ask_at_once(self, now: float) -> None:
        """Send what is under way once more, and be as patient; if nothing is, ask whether the peer lives."""

    @abstractmethod
    def _ask_soon(self, now: float) -> None:
        """Hurry what is under way; if nothing is, ask whether the peer lives."""

    def _liveness_due(self) -> float | None:
        """When to see whether the peer has been silent for so long that it is to be asked whether it lives."""
        detection = self.gateway.dead_peer_detection if self.gateway else None
        if self.state is not State.ESTABLISHED or detection is None:
            return None
        return self._last_heard.due(detection.idle)

    def is_silent(self, now: float) -> bool:
        """Whether neither messages nor packets have come for as long as is declared, and since it was doubted."""
        detection = self.gateway.dead_peer_detection if self.gateway else None
        silent = self._last_heard.is_silent(self.holder.children, self.context.received,
                                            detection.idle if detection else _IDLE, now)
        self.doubted = self.doubted and silent
        return silent

    def _keep_alive_due(self) -> float | None:
        """When the NAT before us wants to see something of us."""
        if self.state is not State.ESTABLISHED or not self.behind_nat or self.gateway is None:
            return None
        return self._sent_at + self.gateway.nat_keep_alive

    def _keep_alive(self, now: float) -> None:
        due = self._keep_alive_due()
        if due is not None and now >= due:
            self.transmit(_NAT_KEEP_ALIVE, now)

    def _handle_child_timer(self, child: Child, now: float) -> None:
        if child.outbound_due is not None and now >= child.outbound_due:
            self.activate_outbound(child)
        if child.expires_at is not None and now >= child.expires_at:
            child.expires_at = None
            if child.state is not ChildState.DELETING:
                self.delete_child(child, "its lifetime is over", now)
                self.context.child_lost(self, child.sa.tunnel, now)
        elif child.rekey_at is not None and now >= child.rekey_at and child.state is ChildState.INSTALLED:
            child.rekey_at = None
            if self.state is State.ESTABLISHED:
                self.rekey_child(child, now)


def _one_needless(one: set[CoveredRoute], other: set[CoveredRoute]) -> bool:
    """Whether one of two SAs carries all that the other does."""
    return one <= other or other <= one
