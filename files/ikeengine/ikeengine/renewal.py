# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is up with a peer is made anew beside itself: since it is declared otherwise, or since its credential turns."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from .ike.context import Context
from .ike.session import IkeSession
from .keep_up import KeepUp
from .peer import BackOff, Peer
from .sessions import Sessions


class Renewal:
    """``touch`` notes when a session wants its timer."""

    def __init__(self, context: Context, sessions: Sessions, keep_up: KeepUp,
                 touch: Callable[[IkeSession], None]) -> None:
        self._context, self._sessions, self._keep_up, self._touch = context, sessions, keep_up, touch

    def replace(self, peer: Peer, now: float, patience: float) -> bool:
        """`IkeSaManager.replace`."""
        name = peer.gateway.name
        up = self._sessions.established(name)
        if not up or all(pair.remote.address is None for pair in peer.gateway.endpoints):
            return False
        for session in self._sessions.beginning(name):
            session.close("it begins anew", now)
        for session in up:
            session.supersede()
        self._keep_up.forget_plans(peer)
        peer.begin_round(first=peer.pair)
        peer.replace_by = now + patience if peer.replace_by is None else min(peer.replace_by, now + patience)
        self._keep_up.attempt(peer, now)
        self._end_replacement(peer, now)
        return True

    def take_credential(self, peer: Peer, now: float) -> None:
        """It is another now. What is up serves on, and is made anew where the ends have not shown that they take each
        other by it; but a certificate that is not trusted any more ends it."""
        name, context = peer.gateway.name, self._context
        peer.key_turn, peer.proving = 0, BackOff()
        for session in self._sessions.beginning(name):
            session.close("its credential changed", now)
        for session in self._sessions.established(name):
            if session.pair is None:
                continue
            doubt = session.proofs.distrust(peer.gateway.credential, session.pair.remote.identity,
                                            context.unix_time(now))
            if doubt is not None:
                session.leave(f"the peer's certificate is not trusted any more: {doubt}", now)
                self._touch(session)
        begun = any(session.initiator for session in self._sessions.established(name))
        self._prove_at(peer, now if begun else now + context.settings.prove_second * (1 + context.fraction()), now)

    def handle_timer(self, peer: Peer, now: float) -> None:
        self._end_replacement(peer, now)
        self._prove(peer, now)

    def closed(self, peer: Peer, up: Sequence[IkeSession], session: IkeSession, now: float) -> None:
        """One that was ``up``, or was to be, has gone, and these are left."""
        if peer.replace_by is not None and not any(row.superseded for row in up):
            peer.replace_by = None
        elif peer.replace_by == math.inf and session.initiator and (session.established_at is None or session.trial):
            peer.replace_by = None
            credential = peer.gateway.credential
            if (session.key_refused and peer.key_turn < len(credential.accepted)
                    and all(row.proofs.are_of(credential) for row in up)):
                self.replace(peer, now, math.inf)  # the peer may have another key that we accept
                return
            for row in up:
                row.supersede(False)
            self._prove_at(peer, peer.proving.failed(self._context.settings, self._context.fraction(), now), now)

    def _end_replacement(self, peer: Peer, now: float) -> None:
        """What the peer takes no successor of goes when its time is over."""
        if peer.replace_by is None or peer.replace_by == math.inf:
            return
        if now < peer.replace_by:
            self._keep_up.note(peer)
            return
        peer.replace_by = None
        for session in self._sessions.established(peer.gateway.name):
            if session.superseded:
                session.leave("it is declared otherwise, and the peer takes no successor", now)
                self._touch(session)

    def _prove_at(self, peer: Peer, time: float, now: float) -> None:
        peer.prove_at = time
        self._prove(peer, now)

    def _prove(self, peer: Peer, now: float) -> None:
        """Authenticate anew where it is time to. What is up stays whatever comes of it, and it is tried again."""
        if peer.prove_at is None:
            return
        if all(row.proofs.are_of(peer.gateway.credential)
               for row in self._sessions.established(peer.gateway.name)):
            peer.prove_at = None
        elif now < peer.prove_at:
            self._keep_up.note(peer)
        else:
            peer.prove_at = None
            self.replace(peer, now, math.inf)
