# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeping gateways up: what is missing is asked for, without end; a dead endpoint pair gives way to the next, and comes
into use again, without a gap, once it answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from .ike.context import Context
from .ike.events import EndpointsChanged
from .ike.session import IkeSession
from .ike.state import IKE_PORT, State
from .negotiation.answers import address_not_here, no_way, only_the_peer
from .negotiation.reasons import Reason
from .peer import BackOff, Peer
from .security_association import SocketAddress
from .sessions import Sessions
from .vpn.model import EndpointPair, Gateway, Route, Start, Tunnel
from .vpn.selectors import Address

#: Makes an IKE SA between two addresses, of that gateway and endpoint pair, that we initiate at the time.
Make: TypeAlias = Callable[[Gateway, EndpointPair, SocketAddress, SocketAddress, float], IkeSession]


class KeepUp:
    """Each `Peer` has its own plans; this carries them out. The manager tells what becomes of IKE SAs.

    ``has_address`` says whether a declared address is the host's. ``wake`` notes when a peer's plans are due, ``touch``
    when a session wants its timer.
    """

    def __init__(self, context: Context, sessions: Sessions, *, make: Make, has_address: Callable[[Address], bool],
                 wake: Callable[[Peer, float | None], None], touch: Callable[[IkeSession], None]) -> None:
        self._context, self._sessions = context, sessions
        self._make, self._has_address, self._wake, self._touch = make, has_address, wake, touch

    # ---------------------------------------------------------------------------------------------- plans

    def attempt(self, peer: Peer, now: float) -> Reason | None:
        """Ask for every route that is missing: on the IKE SA that is there, or on a new one. Returns why it cannot."""
        name = peer.gateway.name
        missing = self.missing(peer)
        session = self._sessions.live(name)
        if not missing or (session is None and self._sessions.beginning(name)):
            return None
        if session is None:
            begun = self._begin(peer, now)
            if isinstance(begun, Reason):
                peer.last_error = peer.last_error or str(begun)
                return begun
            session = begun
        session.ask_for(missing, now)
        self._touch(session)
        return None

    def try_at(self, peer: Peer, time: float) -> None:
        """Try to bring the peer up then, or when it is to be tried before."""
        if peer.retry_at is None or time < peer.retry_at:
            peer.retry_at = time
            self.note(peer)

    def hear_of(self, peer: Peer, remote: Address, now: float) -> None:
        """The peer may be at that address now: if it is about to be tried, that is where to begin, and at once."""
        if peer.retry_at is not None:
            peer.rests_until = now
            peer.begin_round(first=next((row for row in peer.gateway.endpoints if row.remote.address == remote), None))
            self.try_at(peer, now)

    def acquire(self, peer: Peer, tunnel: str, now: float) -> None:
        """Traffic wants a route of the tunnel: at once, or where it has just failed, when it has rested."""
        until, refused = peer.rests_until, peer.refusals.get(tunnel)
        if refused is not None and self._sessions.live(peer.gateway.name) is not None:
            until = max(until, refused.until)
        if now < until:
            self.try_at(peer, until)
        else:
            self.attempt(peer, now)

    def try_again_where_possible(self, peer: Peer, now: float) -> None:
        """This host may have an address for which the peer waits."""
        if peer.retry_at is not None and any(map(self._has_address, peer.absent)):
            self.forget_plans(peer)
            self.attempt(peer, now)

    def _rest(self, peer: Peer, now: float) -> None:
        """It has failed, and nothing but traffic will have it tried again."""
        if not peer.wanted and now >= peer.rests_until:
            peer.rests_until = now + peer.try_later(self._context.settings, self._context.fraction())

    def forget_plans(self, peer: Peer) -> None:
        peer.forget_plans()
        self.note(peer)

    def handle_timer(self, peer: Peer, now: float) -> None:
        if peer.retry_at is not None and now >= peer.retry_at:
            peer.retry_at = None
            self.attempt(peer, now)
        if peer.probe_at is not None and now >= peer.probe_at:
            peer.probe_at = None
            self._probe(peer, now)
        self.note(peer)

    def note(self, peer: Peer) -> None:
        """Its plans have changed."""
        self._wake(peer, peer.due)

    def retry(self, peer: Peer, now: float) -> None:
        """Try to bring it up after the pause that is due."""
        self.try_at(peer, now + peer.try_later(self._context.settings, self._context.fraction()))

    def missing(self, peer: Peer) -> list[tuple[Tunnel, Route]]:
        """The routes of the gateway that ought to have a child SA and have none."""
        covered = set[tuple[str, Route]]().union(*(row.covered() for row in self._sessions.of(peer.gateway.name)))
        return [(tunnel, route) for tunnel in self._context.tunnels_of(peer.gateway.name) for route in tunnel.secured
                if (tunnel.name, route) not in covered]

    # ---------------------------------------------------------------------------------------------- endpoint pairs

    def _begin(self, peer: Peer, now: float) -> IkeSession | Reason:
        """An IKE SA by the next endpoint pair that there is a way for; or why there is none for any."""
        first: Reason | None = None
        peer.absent.clear()
        if not peer.to_try:
            peer.begin_round()
        while peer.to_try:
            pair = peer.to_try.pop(0)
            ends = self._ends(peer, pair)
            if not isinstance(ends, Reason):
                return self._begin_by(peer, pair, ends, now, probe=False)
            first = first or ends
        peer.begin_round()
        if any(pair.remote.address is not None for pair in peer.to_try):
            self.retry(peer, now)
        assert first is not None
        return first

    def _ends(self, peer: Peer, pair: EndpointPair) -> tuple[Address, Address] | Reason:
        """Our address and the peer's; or why the pair is passed over, which is remembered."""
        found = self._way(peer.gateway, pair)
        if isinstance(found, Reason):
            peer.failures[pair] = str(found)
            if pair.local.address is not None and pair.remote.address is not None:
                peer.absent.add(pair.local.address)
        return found

    def _way(self, gateway: Gateway, pair: EndpointPair) -> tuple[Address, Address] | Reason:
        remote, local = pair.remote.address, pair.local.address
        if remote is None:
            return only_the_peer(gateway)
        if local is not None:
            return (local, remote) if self._has_address(local) else address_not_here(gateway, pair, local)
        source = self._context.source(remote)
        return no_way(gateway, remote) if source is None else (source, remote)

    def _begin_by(self, peer: Peer, pair: EndpointPair, ends: tuple[Address, Address], now: float, *,
                  probe: bool) -> IkeSession:
        local, remote = (SocketAddress(end, IKE_PORT) for end in ends)
        session = self._make(peer.gateway, pair, local, remote, now)
        session.is_probe, session.tries = probe, peer.tries(self._context.settings)
        if all(row.proofs.are_of(peer.gateway.credential) for row in self._sessions.established(peer.gateway.name)):
            session.key_turn = peer.key_turn  # else it is to prove our own
        self._sessions.add(session)
        self._sessions.assign(session)
        if not probe:
            self._context.remember(session.account, peer.gateway.name)
        session.begin(now)
        return session

    def _probe(self, peer: Peer, now: float) -> None:
        """Look whether an endpoint pair before the one in use is there again, by bringing up an IKE SA there beside the
        one that is up."""
        name = peer.gateway.name
        session = self._sessions.live(name)
        is_busy = self._sessions.beginning(name) or any(row.trial for row in self._sessions.established(name))
        if session is None or session.pair is None or not session.originator or is_busy:
            self._plan_probe(peer, now)
            return
        peer.to_probe = peer.to_probe or peer.before(session.pair)
        while peer.to_probe:
            pair = peer.to_probe.pop(0)
            ends = self._ends(peer, pair)
            if not isinstance(ends, Reason):
                found = self._begin_by(peer, pair, ends, now, probe=True)
                found.ask_for([(tunnel, route) for tunnel in self._context.tunnels_of(name)
                               for route in tunnel.secured], now)
                self._touch(found)
                return
        self._plan_probe(peer, now)

    def _plan_probe(self, peer: Peer, now: float) -> None:
        """Only the end that began the IKE SA in use looks for earlier pairs, whoever has rekeyed it since: two that do
        not agree on the order would take it to and fro."""
        session = self._sessions.live(peer.gateway.name)
        if session is None or session.pair is None or not session.originator or not peer.before(session.pair):
            peer.to_probe, peer.probe_at = [], None
        elif peer.probe_at is None:
            peer.probe_at = now + peer.probe_later(self._context.settings, self._context.fraction())
        self.note(peer)

    # ---------------------------------------------------------------------------------------------- what happens

    def established(self, peer: Peer, session: IkeSession, now: float) -> None:
        if peer.wanted:
            self.try_at(peer, now + peer.look_again(self._context.settings, self._context.fraction()))
        others = [row for row in self._sessions.established(session.name) if row is not session and not row.is_going]
        for other in others:
            loser, winner = _order(session, other)
            winner.relieve(loser, now)
        if session.trial is None:
            self._serves(peer, session, now)
        self._settle_all(peer, now)
        self._plan_probe(peer, now)

    def settle(self, peer: Peer, session: IkeSession, now: float, *, at_last: bool = False) -> None:
        """Of two IKE SAs with one peer one goes, but not before the other has all that it has, at both ends: the peer
        may be another machine, or have never heard our answer. ``session`` takes the place of those that it is to
        relieve, if it can; ``at_last`` it goes itself if it cannot. We close what the peer leaves be."""
        trial = session.trial
        if trial is None or session.state is not State.ESTABLISHED or session.is_going:
            return
        losers = [row for row in self._sessions.established(session.name) if row is not session and not row.is_going
                  and trial.is_for(row)]
        if losers and not (session.confirmed and self._needed(peer, session, losers)
                           <= session.carried(confirmed=not at_last)):
            if at_last:
                self._gives_up(peer, session, now)
            return
        for loser in losers:
            anew = session.began_after(loser)
            loser.give_way(session, "its tunnels use other endpoints now" if anew and session.pair != loser.pair
                           else "a second IKE SA with the same peer stays", now)
            if not anew and session.initiator and not loser.initiator:
                session.probe(now)  # the peer closes the other as soon as it knows that we have this one
            self._touch(loser)
        session.relieved()
        self._serves(peer, session, now)
        self._plan_probe(peer, now)
        self._touch(session)

    def _settle_all(self, peer: Peer, now: float) -> None:
        for session in self._sessions.established(peer.gateway.name):
            self.settle(peer, session, now)

    def _needed(self, peer: Peer, session: IkeSession, losers: list[IkeSession]) -> set[tuple[str, Route]]:
        """What it has to carry to take their place."""
        carried = set[tuple[str, Route]]().union(*(row.carried(confirmed=False) for row in losers
                                                   if not row.hands_children_to(session)))
        return carried & {(tunnel.name, route) for tunnel in self._context.tunnels_of(peer.gateway.name)
                          for route in tunnel.secured}

    def _gives_up(self, peer: Peer, session: IkeSession, now: float) -> None:
        refused = [str(row.failure) for row in session.account.children.values() if row.failure is not None]
        if session.is_probe and session.pair is not None:
            peer.failures[session.pair] = refused[0] if refused else "the tunnels did not come up there"
        leave = session.leave if session.confirmed else session.drop  # which the peer, it seems, has not
        leave("it does not carry the tunnels that another IKE SA with the same peer carries", now)
        self._touch(session)

    def _serves(self, peer: Peer, session: IkeSession, now: float) -> None:
        """It is what the gateway's tunnels use."""
        session.is_probe = False
        self._context.remember(session.account, session.name)
        self._take_pair(peer, session, now)

    def relocated(self, peer: Peer, session: IkeSession, now: float) -> None:
        """The IKE SA has gone over to another pair by itself."""
        self._take_pair(peer, session, now)
        self._plan_probe(peer, now)

    def _take_pair(self, peer: Peer, session: IkeSession, now: float) -> None:
        assert session.pair is not None
        why = peer.failures.get(peer.pair, "") if peer.pair is not None else ""
        before = peer.succeeded(session.pair, self._context.settings, now)
        if before is None:
            return
        back = session.pair in peer.before(before)
        if not session.originator:
            why = "the peer chose them"
        elif back or not why:
            why = "they answer again" if back else "the peer is gone there"
        self._context.emit(EndpointsChanged(peer.gateway.name, before, session.pair, back, why))

    def closed(self, peer: Peer, session: IkeSession, now: float) -> None:
        """One of the gateway's sessions has gone: go on as is wanted."""
        name = peer.gateway.name
        up, live = self._sessions.established(name), self._sessions.live(name)
        was_up = session.established_at is not None
        self._settle_all(peer, now)
        if session.failure is not None and session.pair is not None and (session.is_probe or not up):
            peer.failures[session.pair] = str(session.failure)
        if session.is_replaced or not (was_up or session.initiator):
            return
        if session.is_probe and peer.to_probe:
            peer.probe_at = now  # the next one
        self._plan_probe(peer, now)
        if session.is_probe:
            return
        is_there = session.doubted or session.failure is None  # it has lost or closed the IKE SA, and may have it anew
        recurs = False
        if was_up and not up:
            peer.endings.lost(self._context.settings, self._context.fraction(), now)
            recurs = peer.endings.failures > 1  # it comes and goes
            if recurs:
                is_there, peer.rests_until = False, max(peer.rests_until, peer.endings.until)
            peer.begin_round(first=session.pair if is_there else None, last=None if is_there else session.pair)
            self._promote_probes(peer)
        # Traffic wanted what only an IKE SA that gave way to another carried, or what the next pair may carry: its next
        # packet may be long in coming.
        asked_for = peer.gateway.start is Start.TRAFFIC and not peer.refused and (
            bool(up) or (not was_up and bool(peer.to_try)))
        if not (peer.wanted or asked_for or peer.replace_by is not None) or not self.missing(peer):
            if not recurs and not is_there and not (was_up and peer.has_several_pairs):  # the next one may be there
                self._rest(peer, now)
            return
        is_next = session.failure is not None and live is None and peer.has_several_pairs and bool(peer.to_try)
        if recurs and not (is_next and peer.endings.failures <= len(peer.gateway.endpoints)):
            peer.retry_at = None  # a look for what is missing, which comes too soon
            self.try_at(peer, peer.endings.until)
            return
        if is_next or (session.doubted and was_up):
            self.try_at(peer, now)
            return
        if not was_up and live is None:
            peer.begin_round()
        until = now + peer.try_later(self._context.settings, self._context.fraction())
        if not is_there:
            peer.rests_until = max(peer.rests_until, until)
        self.try_at(peer, until)

    def _promote_probes(self, peer: Peer) -> None:
        """What looked whether a pair is there again is now the attempt to come up by it."""
        for probe in self._sessions.beginning(peer.gateway.name):
            probe.is_probe = False
            peer.to_try = [pair for pair in peer.to_try if pair != probe.pair]
            self._context.remember(probe.account, peer.gateway.name)
        peer.to_probe, peer.probe_at = [], None

    def child_lost(self, peer: Peer, session: IkeSession, tunnel: str, now: float) -> None:
        """The tunnel is asked for again after a pause of its own: what the peer refuses delays nothing else."""
        if session.is_probe:
            if session.trial is not None and not session.asked_for():
                session.trial.end_soon(now)
            return
        back_off = peer.refusals.setdefault(tunnel, BackOff())
        if now >= back_off.until:
            back_off.lost(self._context.settings, self._context.fraction(), now)
        if peer.wanted and session.state is not State.CLOSED:
            self.try_at(peer, back_off.until)


def _order(one: IkeSession, other: IkeSession) -> tuple[IkeSession, IkeSession]:
    """Which of two IKE SAs with one peer goes, and which stays; ``one`` has just come up. The later one stays; of two
    that began at once the one with the lowest nonce goes, closed by whoever created it (RFC 7296 §2.8.1)."""
    is_later = one.began_after(other) or other.lowest_nonce < one.lowest_nonce
    return (other, one) if is_later else (one, other)
