# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All IKE SAs of a host: which datagram is whose, who is wanted up, what a reload changes. Sans-I/O as well."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Container, Iterable, Sequence
from contextlib import suppress
from itertools import islice

from . import hints
from .declared import Declared
from .hints import Greetings
from .ike import half_open
from .ike.account import Account, Accounts
from .ike.children import Child, ChildState
from .ike.context import Settings
from .ike.events import ChildInbound, ChildRemoved, Event, Failed
from .ike.rate import Whereabouts
from .ike.refusal import Refusal
from .ike.session import IkeSession
from .ike.state import BEGINNING, State
from .ikev1.acceptor import Acceptor as Ikev1Acceptor
from .ikev1.session import Ikev1Session
from .ikev2.acceptor import Acceptor
from .ikev2.session import Ikev2Session
from .keep_up import KeepUp
from .losses import Losses
from .overview import Overview
from .peer import Peer
from .reload import ReloadResult, difference, takes
from .renewal import Renewal
from .security_association import ChildSa, Datagram, NoSpi, Path, SocketAddress
from .senders import Senders
from .sessions import Sessions
from .timers import Timers
from .vpn.model import EndpointPair, Gateway, IkeVersion, Protocol, Route, Side, Start, Tunnel
from .vpn.selectors import Address
from .wire.constants import NotifyType
from .wire.errors import WireError
from .wire.header import Header, decode_header

_KINDS: dict[IkeVersion, type[Ikev1Session | Ikev2Session]] = {
    IkeVersion.V1: Ikev1Session, IkeVersion.V2: Ikev2Session}
_BUG = "the daemon failed inside: see its log"


class IkeSaManager:
    """Give it datagrams, time and orders; take datagrams and events from it after each. It raises on orders only.

    ``source`` names the host's own address from which packets to a peer leave, where none is declared, and
    ``has_address`` says whether a declared one is there; ``received`` is how many packets have come by a child SA.
    """

    def __init__(self, side: Side, *, allocate_spi: Callable[[Address, Address, Protocol, str], int],
                 encapsulate: Callable[[str], bool], reqid: Callable[[str, Route], int],
                 extended_sequence_numbers: Callable[[str], bool] = lambda _tunnel: False,
                 source: Callable[[Address], Address | None] = lambda _remote: None,
                 has_address: Callable[[Address], bool] = lambda _address: True,
                 received: Callable[[ChildSa], int] = lambda _child: 0,
                 is_acceptable: Callable[[str, Address, Address], bool] = lambda _gateway, _local, _remote: True,
                 random: Callable[[int], bytes] = os.urandom, settings: Settings | None = None,
                 unix_time: Callable[[float], float] = float) -> None:
        """``unix_time`` makes Unix time of the sessions' clock, which is that anyway where it says nothing."""
        #: Hears of exceptions that nobody foresaw, with the gateway's name or nothing; without it they are raised.
        self.on_bug: Callable[[Exception, str], None] | None = None
        self.settings = settings or Settings()
        self.counters: Counter[str] = Counter()
        self._random = random
        self._allocate_spi = allocate_spi
        self._encapsulate = encapsulate
        self._extended_sequence_numbers = extended_sequence_numbers
        self._reqid = reqid
        self._received = received
        self._source, self._has_address, self._is_acceptable = source, has_address, is_acceptable
        self._unix_time = unix_time
        self._acceptor = Acceptor(self, self._adopt_session)
        self._ikev1_acceptor = Ikev1Acceptor(self, self._adopt_session)
        self._sessions = Sessions()
        self._timers: Timers[IkeSession | Peer | Greetings] = Timers()
        self._outbox: list[Datagram] = []
        self._events: list[Event] = []
        self._senders = Senders(self._sessions)
        self._keep_up = KeepUp(self, self._sessions, make=self._initiated, has_address=has_address,
                               wake=self._timers.note, touch=self._touch)
        self._renewal = Renewal(self, self._sessions, self._keep_up, self._touch)
        self._accounts = Accounts()
        self._declared = Declared(side.name)
        self._losses = Losses(self, self._declared, self._sessions, self._keep_up, self._touch)
        #: For whoever wants to see how it is.
        self.overview = Overview(self._declared, self._sessions, self._accounts)
        self._adopt(side)

    # ---------------------------------------------------------------------------------------------- in and out

    def start(self, now: float, at_most: int | None = None) -> None:
        """Begin to bring up what is declared ``start: boot``; ``at_most`` as for `handle_timer`."""
        for peer in self._declared.peers.values():
            if peer.wanted:
                self._keep_up.try_at(peer, now)
        self.handle_timer(now, at_most)

    def greet(self, now: float, lost: Iterable[Path]) -> None:
        """Tell those whom we do not call that we have no SA with them, at the paths of SAs that an earlier run ``lost``
        as well."""
        greetings = self._losses.greetings(lost)
        if greetings.said:
            self._timers.note(greetings, now)

    def receive(self, datagram: Datagram, now: float) -> None:
        """A datagram from an IKE port, without the non-ESP marker. Whatever its octets, nothing is raised."""
        try:
            header = decode_header(datagram.data)
        except WireError:
            self.count("malformed")
            return
        session = self._sessions.meant(header)
        try:
            self._receive(session, header, datagram, now)
        except Exception as error:
            self._contain(error, session, now)

    def _receive(self, session: IkeSession | None, header: Header, datagram: Datagram, now: float) -> None:
        if session is not None:
            session.receive(datagram, now)
            self._touch(session)
        elif hints.is_hint(header):
            self._losses.take_hint(header, datagram, now)
        elif header.major == Ikev1Session.version.value:
            self._ikev1_acceptor.receive(header, datagram, now)
        elif header.major != Ikev2Session.version.value:
            self._acceptor.answer_version(header, datagram)
        elif not self._answer_for_closed(header, datagram):
            self._acceptor.receive(header, datagram, now)

    def receive_unknown(self, spi: bytes, local: SocketAddress, remote: SocketAddress, now: float) -> None:
        """A packet came whose SPI, 4 octets, is no SA's: `Losses.tell`."""
        self._losses.tell(spi, local, remote, now)

    def _answer_for_closed(self, header: Header, datagram: Datagram) -> bool:
        """The peer did not get the last answer of an IKE SA that has closed since."""
        answer = self._sessions.answer_of_closed(header, datagram.data)
        for data in answer or ():
            self.send(Datagram(datagram.local, datagram.remote, data))
        return answer is not None

    def datagrams_to_send(self) -> list[Datagram]:
        """All since the last call. One whose data is the single octet 0xFF is a NAT keep-alive (RFC 3948 §2.3)."""
        drained, self._outbox = self._outbox, []
        return drained

    def unsent(self, datagram: Datagram, why: str) -> None:
        """One of `datagrams_to_send` did not leave this host: what comes of that is not the peer's fault."""
        with suppress(WireError):  # a NAT keep-alive is no message
            session = self._sessions.sender(decode_header(datagram.data))
            if session is not None:
                session.unsent = why

    def events(self) -> list[Event]:
        """All since the last call, in order."""
        drained, self._events = self._events, []
        return drained

    def next_timer(self) -> float | None:
        """When `handle_timer` wants to be called, or None. Calling it earlier does no harm."""
        return self._timers.next()

    def handle_timer(self, now: float, at_most: int | None = None) -> None:
        """Do what is due, for ``at_most`` so many sessions and gateways: `next_timer` tells of what is left."""
        for timed in islice(self._timers.due(now), at_most):
            try:
                self._handle(timed, now)
            except Exception as error:
                if isinstance(timed, Peer):
                    self._keep_up.retry(timed, now)
                self._contain(error, timed if isinstance(timed, IkeSession) else None, now)

    def _handle(self, timed: IkeSession | Peer | Greetings, now: float) -> None:
        if isinstance(timed, Peer):
            if timed.move is not None and timed.move_at is not None and now >= timed.move_at:
                timed.move_at = None
                self.moved(*timed.move, now)
            self._renewal.handle_timer(timed, now)
            self._keep_up.handle_timer(timed, now)
        elif isinstance(timed, Greetings):
            for datagram in timed.datagrams(self._random, self._losses.knows):
                self.send(datagram)
            self._timers.note(timed, timed.next(now))
        else:
            timed.handle_timer(now)
            self._touch(timed)

    def _contain(self, error: Exception, session: IkeSession | None, now: float) -> None:
        """A bug, which takes that session and nothing else. Raises it where nobody wants to hear of it."""
        if self.on_bug is None:
            raise error
        self.on_bug(error, session.name if session is not None else "")
        if session is None:
            return
        try:
            session.close(_BUG, now)
        except Exception as again:
            self.on_bug(again, session.name)
        if session in self._sessions:
            self._sessions.remove(session)
            self._timers.note(session, None)
            for child in session.children:
                self.emit(ChildRemoved(child.sa, _BUG))
            peer = self._declared.peers.get(session.name)
            if peer is not None and peer.wanted:
                self._keep_up.retry(peer, now)

    # ---------------------------------------------------------------------------------------------- orders

    def initiate(self, gateway: str, now: float, tunnel: str | None = None) -> None:
        """Bring the gateway, or one tunnel of it, up and keep it so. Raises KeyError for an unknown name."""
        peer = self._declared.peers[gateway]
        self._declared.check(gateway, tunnel)
        peer.wanted, peer.refused = True, False
        if tunnel is None:
            peer.held.clear()
        else:
            peer.held.discard(tunnel)
        self._keep_up.forget_plans(peer)
        obstacle = self._keep_up.attempt(peer, now)
        if obstacle is not None:
            self.emit(Failed(gateway, None, None, obstacle))

    def terminate(self, gateway: str, now: float, tunnel: str | None = None, reason: str = "taken down") -> None:
        """Close with a DELETE; it stays down, whoever asks for it, until `initiate`. Raises KeyError for an unknown
        name."""
        peer = self._declared.peers[gateway]
        self._declared.check(gateway, tunnel)
        if tunnel is not None:
            peer.held.add(tunnel)
            self._delete_children(gateway, now, reason, lambda child: child.sa.tunnel == tunnel)
            return
        peer.wanted, peer.refused = False, True
        self._keep_up.forget_plans(peer)
        self._close_all(gateway, reason, now)
        self._find_candidates(now)

    def replace(self, gateway: str, now: float, patience: float = math.inf) -> bool:
        """Authenticate anew, on what is declared now: make an IKE SA and child SAs beside those that are up, which go
        when the new ones carry their routes (RFC 7296 §2.8.3). So no packet is lost.

        What is up goes anyway after ``patience`` seconds without a successor; with no end to these it stays, if the
        first try fails. Returns whether there was something to replace, and we can begin it: a peer whose address is
        not known has to. Raises KeyError for an unknown name.
        """
        return self._renewal.replace(self._declared.peers[gateway], now, patience)

    def taken_down(self) -> list[tuple[str, str | None]]:
        """What an operator took down, gateways and tunnels of gateways, and nobody has brought up since."""
        return [(name, tunnel) for name, peer in self._declared.peers.items()
                for tunnel in ((None,) if peer.refused else sorted(peer.held))]

    def take_up(self, gateway: str, now: float, tunnel: str | None = None) -> None:
        """As it was declared, again. Raises KeyError for an unknown name."""
        peer = self._declared.peers[gateway]
        if tunnel is None:
            peer.refused, peer.wanted = False, peer.gateway.start is Start.BOOT
        else:
            peer.held.discard(tunnel)
        if peer.wanted:
            self._keep_up.attempt(peer, now)

    def renew_child(self, spi_in: int, now: float) -> None:
        """The data plane has lost that child SA, or a half of it: another takes its place, unless one is about to."""
        found = self._sessions.child(spi_in)
        if found is not None and found[1].state is ChildState.INSTALLED:
            found[1].rekey_at = None  # a refused one is not to wait for the planned time
            found[0].rekey_child(found[1], now)
            self._touch(found[0])

    def rekey_ike(self, gateway: str, now: float) -> None:
        """Raises KeyError for an unknown name, LookupError where there is no IKE SA."""
        session = self._sessions.live(self._declared.peers[gateway].gateway.name)
        if session is None:
            raise LookupError(f"gateway {gateway} has no IKE SA")
        session.rekey(now)
        self._touch(session)

    def rekey_child(self, tunnel: str, now: float, spi_in: int | None = None) -> None:
        """Rekey the tunnel's child SAs, or the one with that SPI. Raises LookupError where there is none."""
        found = [(session, child) for session, child in self._sessions.children()
                 if child.sa.tunnel == tunnel and child.state is ChildState.INSTALLED
                 and spi_in in (None, child.sa.spi_in)]
        if not found:
            raise LookupError(f"tunnel {tunnel} has no SA")
        for session, child in found:
            session.rekey_child(child, now)
            self._touch(session)

    def expire(self, spi_in: int, now: float, *, hard: bool) -> None:
        """The data plane says that a child SA has carried its traffic: rekey it, or where that is over, delete it."""
        found = self._sessions.child(spi_in)
        if found is None:
            return
        session, child = found
        if hard:
            session.delete_child(child, "its traffic limit is reached", now)
            self.child_lost(session, child.sa.tunnel, now)
        else:
            child.nearly_spent, child.rekey_at = True, None
            if child.state is ChildState.INSTALLED:
                session.rekey_child(child, now)
        self._touch(session)

    def moved(self, spi_in: int, local: SocketAddress, remote: SocketAddress, now: float) -> None:
        """An authentic packet of that child SA, the newest, came by another path: follow the peer there, with all that
        it has in common with us, where it may have a new mapping; at once, but not again and again."""
        found = self._sessions.child(spi_in)
        peer = self._declared.peers.get(found[0].name) if found is not None else None
        if found is None or peer is None or not found[0].follows_packets:
            return
        session, before = found[0], (found[0].local, found[0].remote)
        if before == (local, remote):
            peer.move = peer.move_at = None
        elif peer.moves.allows(now):
            peer.move = peer.move_at = None
            for other in self._sessions.of(session.name):
                if (other.local, other.remote) == before and other.follows_packets:
                    other.follow_packet(local, remote, now)
            self._touch(session)
        else:
            peer.move, peer.move_at = (spi_in, local, remote), peer.move_at or now + 1.0
        self._keep_up.note(peer)

    def ways(self) -> set[Address]:
        """The addresses of peers to which another way is worth `path_changed`: where a host's own address is not
        declared, or a NAT lies before it."""
        declared = {pair.remote.address for peer in self._declared.peers.values() for pair in peer.gateway.endpoints
                    if pair.local.address is None and pair.remote.address is not None}
        return declared | {session.remote.address for session in self._sessions if session.behind_nat or (
            session.pair is not None and session.pair.local.address is None)}

    def path_changed(self, remote: Address, now: float) -> None:
        """Packets to that address take another way: from another address of ours, or by another router. What cannot go
        on is begun anew at once, beside what is up; and what waited for a way is tried."""
        source = self._source(remote)
        for session in self._sessions:
            if (session.remote.address == remote and session.state is not State.CLOSED
                    and session.no_longer_half_open is None):
                try:
                    self._follow_path(session, source, now)
                except Exception as error:
                    self._contain(error, session, now)
        for peer in self._declared.expected_at(remote) if source is not None else ():
            if peer.wanted and not self._sessions.established(peer.gateway.name):
                self._keep_up.forget_plans(peer)
                self._keep_up.attempt(peer, now)

    def addresses_changed(self, now: float) -> None:
        """This host may have an address that it had not: what waits for one is tried."""
        for peer in self._declared.peers.values():
            self._keep_up.try_again_where_possible(peer, now)

    def _follow_path(self, session: IkeSession, source: Address | None, now: float) -> None:
        """A peer that came to us by an address which we still have goes on using that one."""
        stays = source is not None and not session.originator and self._has_address(session.local.address)
        if not session.path_changed(session.local.address if stays else source, now) and source is not None:
            self._begin_elsewhere(session, source, now)
        self._touch(session)

    def _begin_elsewhere(self, session: IkeSession, source: Address, now: float) -> None:
        """The peer will not follow it there by itself. The new IKE SA's INITIAL_CONTACT ends it at the peer, too; where
        we cannot begin one, the peer may yet see where we are."""
        peer = self._declared.peers.get(session.name)
        can_begin = session.pair is not None and session.pair.remote.address is not None
        if peer is None or (session.state is State.ESTABLISHED and (
                not can_begin or peer.gateway.start is Start.ANSWER)):
            session.move(SocketAddress(source, session.local.port), session.remote)
            session.probe(now)
        elif session.state is State.ESTABLISHED or session.state in BEGINNING:
            session.close(f"packets to the peer leave from {source} now", now)
            self._keep_up.attempt(peer, now)

    def acquire(self, reqid: int, now: float) -> None:
        """Traffic wants a route that has no SA: bring it up, unless its gateway only answers or is held down."""
        for name, peer in self._declared.peers.items():
            for tunnel in self._declared.tunnels[name]:
                for route in tunnel.secured:
                    if self._reqid(tunnel.name, route) == reqid:
                        if (peer.gateway.start is not Start.ANSWER and not peer.refused
                                and tunnel.name not in peer.held):
                            self._keep_up.acquire(peer, tunnel.name, now)
                        return

    def fail_child(self, spi_in: int, reason: str, now: float) -> None:
        """The data plane could not install that child SA: close it, and say why."""
        found = self._sessions.child(spi_in)
        if found is not None:
            session, child = found
            session.fail(reason, tunnel=child.sa.tunnel)
            session.delete_child(child, reason, now)
            self.child_lost(session, child.sa.tunnel, now)
            self._touch(session)

    def shutdown(self, now: float) -> None:
        """DELETE every IKE SA; `is_idle` says when the peers have answered."""
        for name in self._declared.peers:
            self.terminate(name, now, reason="the daemon stops")

    @property
    def is_idle(self) -> bool:
        return not self._sessions

    def reload(self, side: Side, now: float, at_most: int | None = None) -> ReloadResult:
        """Put another declaration in force. What did not change keeps its SAs; ``at_most`` as for `handle_timer`."""
        change = difference(self._declared.side, side)
        for name in change.gateways_to_close:
            self._close_all(name, "its declaration changed", now)
        for tunnel, route in change.routes_to_close:
            self._delete_children(tunnel.gateway, now, "its declaration changed",
                                  lambda child, tunnel=tunnel, route=route:  # type: ignore[misc]
                                  child.sa.covers(tunnel.name, route))
        self._adopt(side)
        self._find_candidates(now)
        for name in (*change.gateways_to_replace, *self._not_encapsulated(change.gateways_to_replace)):
            if not self.replace(name, now, self.settings.replace_patience):
                self._close_all(name, "its declaration changed", now)
        for name in change.gateways_to_prove:
            self._renewal.take_credential(self._declared.peers[name], now)
        for peer in self._declared.peers.values():
            may_lack = peer.retry_at is not None or peer.gateway.name in change.gateways_touched
            if peer.wanted and may_lack and self._keep_up.missing(peer):
                self._keep_up.try_at(peer, now)
        self.handle_timer(now, at_most)
        return change.result

    def _not_encapsulated(self, others: Container[str]) -> list[str]:
        """The gateways, but ``others``, whose tunnels have gone over to a data plane that does ESP in UDP only, with an
        IKE SA that was to do without."""
        return [name for name in self._declared.peers if name not in others and self.encapsulate(name)
                and any(not session.udp_encapsulated for session in self._sessions.established(name))]

    # ---------------------------------------------------------------------------------------------- what sessions ask

    def random(self, size: int) -> bytes:
        return self._random(size)

    def fraction(self) -> float:
        return int.from_bytes(self._random(4), "big") / 2**32

    def unix_time(self, now: float) -> float:
        return self._unix_time(now)

    def allocate_spi(self, local: Address, remote: Address, protocol: Protocol, tunnel: str) -> int:
        try:
            return self._allocate_spi(local, remote, protocol, tunnel)
        except NoSpi as error:
            raise Refusal(NotifyType.NO_ADDITIONAL_SAS, str(error), tunnel=tunnel) from None

    def encapsulate(self, gateway: str) -> bool:
        return self._encapsulate(gateway)

    def extended_sequence_numbers(self, tunnel: str) -> bool:
        return self._extended_sequence_numbers(tunnel)

    def reqid(self, tunnel: str, route: Route) -> int:
        return self._reqid(tunnel, route)

    def source(self, remote: Address) -> Address | None:
        return self._source(remote)

    def is_acceptable(self, gateway: str, local: Address, remote: Address) -> bool:
        return self._is_acceptable(gateway, local, remote)

    def received(self, child: ChildSa) -> int:
        return self._received(child)

    def has_spi(self, header: Header) -> bool:
        return self._sessions.has_spi(header)

    def offer_spi(self, spi: bytes, offered: bool) -> None:
        (self._sessions.offered.add if offered else self._sessions.offered.discard)(spi)

    def whereabouts(self, remote: Address) -> Whereabouts:
        return self._declared.whereabouts(remote)

    def candidates(self, local: Address, remote: Address, version: IkeVersion,
                   at_most: int | None = None) -> Sequence[Gateway]:
        return list(islice((row for row in self._declared.may_be(local, remote) if row.version is version), at_most))

    def tunnels_of(self, gateway: str) -> Sequence[Tunnel]:
        return self._declared.open_tunnels(gateway)

    def is_wanted(self, tunnel: Tunnel, route: Route) -> bool:
        return self._declared.wants(tunnel, route)

    def sibling(self, session: IkeSession) -> IkeSession | None:
        return self._sessions.sibling(session)

    def is_first_contact(self, session: IkeSession) -> bool:
        return all(row is session for row in self._sessions.established(session.name))

    def initial_contact(self, session: IkeSession, now: float) -> None:
        """Only what was up before this IKE SA began is stale: one that came up since is the other half of both ends
        initiating at once."""
        for row in self._sessions.established(session.name):
            if row is not session and row.established_at is not None and row.established_at < session.created_at:
                row.close("the peer began anew (INITIAL_CONTACT)", now)

    def is_covered(self, gateway: str, tunnel: str, route: Route) -> bool:
        return any(session.is_covered(tunnel, route) for session in self._sessions.of(gateway))

    def is_needed(self, session: IkeSession) -> bool:
        return any(not self.is_covered(session.name, child.sa.tunnel, row.declared)
                   or self._senders.sends(child.sa, row)
                   for child in session.children if child.is_live for row in child.sa.routes)

    def sends_elsewhere(self, session: IkeSession, child: Child) -> Child | None:
        return self._senders.elsewhere(session, child)

    def established(self, session: IkeSession, now: float) -> None:
        half_open.discard(session)
        self._sessions.assign(session)
        session.account.succeed(now)
        self._keep_up.established(self._declared.peers[session.name], session, now)
        self._make_room(session.name, (session,), now)

    def authenticate_anew(self, session: IkeSession, now: float) -> None:
        peer = self._declared.peers.get(session.name)
        if peer is not None and session.serves:
            self._renewal.replace(peer, now, math.inf)

    def settle(self, session: IkeSession, now: float, *, at_last: bool = False) -> None:
        if session.name in self._declared.peers:
            self._keep_up.settle(self._declared.peers[session.name], session, now, at_last=at_last)

    def relocated(self, session: IkeSession, now: float) -> None:
        if session.name in self._declared.peers:
            self._keep_up.relocated(self._declared.peers[session.name], session, now)

    def succeeded(self, old: IkeSession, new: IkeSession, now: float) -> None:
        self._sessions.add(new)
        self._sessions.assign(new)
        self._touch(new)
        self._make_room(new.name, (old, new), now)

    def closed(self, session: IkeSession, now: float) -> None:
        self._sessions.remove(session)
        half_open.discard(session)
        self._timers.note(session, None)
        remaining = self._sessions.established(session.name)
        if len(remaining) == 1:
            remaining[0].stay()
            self._touch(remaining[0])
        peer = self._declared.peers.get(session.name)
        if peer is not None:
            peer.key_turn += session.key_refused
            if not session.is_probe:
                self._renewal.closed(peer, remaining, session, now)
            self._keep_up.closed(peer, session, now)

    def child_lost(self, session: IkeSession, tunnel: str, now: float) -> None:
        peer = self._declared.peers.get(session.name)
        if peer is not None:
            self._keep_up.child_lost(peer, session, tunnel, now)

    def remember(self, account: Account, gateway: str) -> None:
        self._accounts.remember(account, gateway if gateway in self._declared.peers else "")

    def emit(self, event: Event) -> None:
        if isinstance(event, Failed) and event.gateway in self._declared.peers:
            peer = self._declared.peers[event.gateway]
            peer.last_error = str(event.reason)
            if event.tunnel is not None:
                peer.tunnel_errors[event.tunnel] = peer.last_error
        elif isinstance(event, ChildInbound) and event.child.gateway in self._declared.peers:
            peer = self._declared.peers[event.child.gateway]
            peer.tunnel_errors.pop(event.child.tunnel, None)
            peer.last_error = None
        elif isinstance(event, ChildRemoved):
            self._senders.release(event.child)
        self._events.append(event)
        self._sessions.hear(event)
        for session in self._senders.hear(event):
            self._touch(session)

    def send(self, datagram: Datagram) -> None:
        self._outbox.append(datagram)

    def count(self, what: str) -> None:
        self.counters[what] += 1

    # ---------------------------------------------------------------------------------------------- closing

    def _close_all(self, gateway: str, reason: str, now: float) -> None:
        for session in list(self._sessions.of(gateway)):
            if session.state in (State.ESTABLISHED, State.REPLACED):
                session.leave(reason, now)
                self._touch(session)
            elif session.state is not State.CLOSING:
                session.close(reason, now)

    def _make_room(self, gateway: str, but: Container[IkeSession], now: float) -> None:
        """A peer that makes one IKE SA after the other and closes none holds a bounded number."""
        sessions = self._sessions.of(gateway)
        if len(sessions) > self.settings.ike_sas_of_gateway:
            going = [row for row in sessions if (row.is_going or row.trial is not None) and row not in but]
            if going:
                min(going, key=lambda row: bool(row.children)).drop("the peer has too many IKE SAs", now)

    def _delete_children(self, gateway: str, now: float, reason: str, chosen: Callable[[Child], bool]) -> None:
        for session in self._sessions.of(gateway):
            for child in list(session.children):
                if chosen(child) and child.state is not ChildState.DELETING:
                    session.delete_child(child, reason, now)
            self._touch(session)

    # ---------------------------------------------------------------------------------------------- bookkeeping

    def _adopt_session(self, session: IkeSession) -> None:
        """One that an acceptor has begun."""
        self._sessions.add(session)
        self._touch(session)

    def _adopt(self, side: Side) -> None:
        for gone in self._declared.adopt(side):
            self._timers.note(gone, None)
        peers = self._declared.peers
        self._accounts.keep(peers)
        for name, peer in peers.items():
            for session in self._sessions.of(name):
                session.gateway = peer.gateway

    def _find_candidates(self, now: float) -> None:
        """Who a half-open peer may still turn out to be; one that was known and is none of these any more goes."""
        for session in [row for row in self._sessions if row.no_longer_half_open is not None]:
            session.candidates = tuple(self.candidates(session.local.address, session.remote.address, session.version))
            if session.gateway is None:
                continue
            meant = next((row for row in session.candidates
                          if row.name == session.name and takes(session.gateway, row)), None)
            if meant is None:
                session.close("it is taken down, or its declaration changed", now)
            session.gateway = meant or session.gateway

    def _initiated(self, gateway: Gateway, pair: EndpointPair, local: SocketAddress, remote: SocketAddress,
                   now: float) -> IkeSession:
        return _KINDS[gateway.version](self, initiator=True, gateway=gateway, local=local, remote=remote, now=now,
                                       pair=pair)

    def _touch(self, session: IkeSession) -> None:
        """Note when the session wants its timer, and where its peer is. What changed that may have changed it for
        others with the peer."""
        self._timers.note(session, session.next_timer())
        for row in self._sessions.of(session.name):
            self._timers.note(row, row.next_timer())
            self._sessions.follow(row)
