# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One end has lost its SAs, in a crash for instance: it says so, and its peer hears so, though nobody can prove it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from . import hints
from .declared import Declared
from .hints import Greetings
from .ike.context import Context
from .ike.rate import AnswerRate, Rate
from .ike.session import IkeSession
from .ike.state import IKE_PORT, State
from .keep_up import KeepUp
from .security_association import Datagram, Path, SocketAddress
from .sessions import Sessions
from .vpn.model import IkeVersion
from .wire.errors import WireError
from .wire.header import Header


class Losses:
    """``touch`` notes when a session wants its timer."""

    def __init__(self, context: Context, declared: Declared, sessions: Sessions, keep_up: KeepUp,
                 touch: Callable[[IkeSession], None]) -> None:
        self._context, self._declared, self._sessions = context, declared, sessions
        self._keep_up, self._touch = keep_up, touch
        self._taken = Rate(context.settings.unknown_spi_answers)
        self._said = AnswerRate(context.settings.unknown_spi_answers)

    def greetings(self, lost: Iterable[Path]) -> Greetings:
        """For those whom we do not call, and at the paths of SAs that an earlier run ``lost``."""
        paths: dict[Path, IkeVersion] = {}
        for peer in self._declared.peers.values():
            for pair in () if peer.wanted else peer.gateway.endpoints:
                remote = pair.remote.address
                local = pair.local.address or (self._context.source(remote) if remote is not None else None)
                if remote is not None and local is not None:
                    paths[SocketAddress(local, IKE_PORT), SocketAddress(remote, IKE_PORT)] = peer.gateway.version
        for local_end, remote_end in lost:
            gateway = next(self._declared.may_be(local_end.address, remote_end.address), None)
            if gateway is not None:
                paths[local_end, remote_end] = gateway.version
        return Greetings(paths)

    def tell(self, spi: bytes, local: SocketAddress, remote: SocketAddress, now: float) -> None:
        """A packet came whose SPI, 4 octets, is no SA's. Where we have no IKE SA with the peer it has one that we lost:
        it hears INVALID_SPI, at a bounded rate (RFC 7296 §1.5)."""
        context = self._context
        if self.knows(remote) or not self._said.allows(context.whereabouts(remote.address), now):
            return
        gateway = next(self._declared.may_be(local.address, remote.address), None)
        if gateway is not None:
            context.send(Datagram(local, remote, hints.invalid_spi(gateway.version, spi, context.random)))

    def knows(self, remote: SocketAddress) -> bool:
        """Whether there is an IKE SA with a peer at that address."""
        return any(session.state is State.ESTABLISHED for session in self._sessions.at(remote.address))

    def take_hint(self, header: Header, datagram: Datagram, now: float) -> None:
        """The peer, or whoever says to be it, has no SA of that SPI: ask it whether it lives. One that we try to reach,
        and that was not there, is there now."""
        context, remote = self._context, datagram.remote.address
        sessions = [row for row in self._sessions.at(remote) if row.takes_hint(now)]
        waiting = [row for row in self._declared.expected_at(remote)
                   if row.wanted and now >= row.hinted_at + context.settings.doubt_pause
                   and all(session.remote.address != remote for session in self._sessions.of(row.gateway.name))]
        if not (sessions or waiting):
            context.count("needless_hint")  # of a stranger, or one more
            return
        try:
            spi = hints.spi_in(header, datagram.data)
        except WireError:
            context.count("malformed")
            return
        if spi != hints.NO_SPI:
            sessions = [row for row in sessions if any(child.sa.spi_out.to_bytes(4, "big") == spi
                                                       for child in row.children)]
        if not (sessions or waiting) or not self._taken.allows(now):
            context.count("too_many_hints" if sessions or waiting else "needless_hint")
            return
        for session in sessions:
            session.hear_hint(now)
            self._touch(session)
        for peer in waiting:
            peer.hinted_at = now
            self._keep_up.hear_of(peer, remote, now)
