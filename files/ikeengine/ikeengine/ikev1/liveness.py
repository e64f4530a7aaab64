# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the peer lives: Dead Peer Detection (RFC 3706), and IKE keep-alive between two ends of our own make."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..ike.pace import Pace
from ..negotiation.reasons import Reason
from ..wire.v1.constants import NotifyType
from ..wire.v1.notify import Notify
from .retransmission import Repeater

if TYPE_CHECKING:
    from .session import Ikev1Session

_SEQUENCE_SIZE = 4
#: Questions for which a hint is reason enough: one may be lost.
_INQUIRIES = 3
_ANSWERS: dict[int, NotifyType] = {NotifyType.R_U_THERE: NotifyType.R_U_THERE_ACK,
                                   NotifyType.KEEP_ALIVE: NotifyType.KEEP_ALIVE_ACK}


class Liveness:
    """One end's questions. Each is a new message under a number of its own (RFC 3706 §5.4)."""

    def __init__(self, session: Ikev1Session, now: float) -> None:
        # The high bit stays clear, so that the numbers do not wrap soon (RFC 3706 §6.2).
        self._sequence = int.from_bytes(session.context.random(_SEQUENCE_SIZE), "big") >> 1
        #: Dead Peer Detection's question that waits for an answer.
        self._asked: Repeater | None = None
        self._only_inquires = False
        self._keep_alive_at = now
        self._keep_alives_unanswered = 0
        if session.gateway is not None and session.gateway.keep_alive is not None:
            self._keep_alive_at += session.gateway.keep_alive.interval

    def heard(self) -> None:
        """Any authentic message shows that the peer lives (RFC 3706 §5.5); packets show it, too, when it would be asked
        again."""
        self._asked = None
        self._keep_alives_unanswered = 0

    def inquire(self, session: Ikev1Session, now: float) -> None:
        """Ask at once whether the peer lives, if it can say so, and leave its silence to be found as ever."""
        if self._asked is None:
            self._begin(session, Pace.usual(session.context.settings, _INQUIRIES - 1), now, only_inquires=True)

    def hurry(self, session: Ikev1Session, now: float) -> None:
        """Ask at once, and not for long, whether the peer lives, if it can say so."""
        self._begin(session, Pace.of_doubt(session.context.settings), now)

    def _begin(self, session: Ikev1Session, pace: Pace, now: float, *, only_inquires: bool = False) -> None:
        if session.abilities.dead_peer_detection:
            self._asked, self._only_inquires = Repeater(session.context, b"", now, pace), only_inquires
            self._ask(session, NotifyType.R_U_THERE, now)

    def next_timer(self, session: Ikev1Session) -> float | None:
        times = [time for time in (self._detection_due(session), self._keep_alive_due(session)) if time is not None]
        return min(times, default=None)

    def _detection_due(self, session: Ikev1Session) -> float | None:
        if not session.abilities.dead_peer_detection:
            return None
        return self._asked.due if self._asked is not None else session.idle_at

    def _keep_alive_due(self, session: Ikev1Session) -> float | None:
        gateway = session.gateway
        if gateway is None or gateway.keep_alive is None or not session.abilities.keep_alive:
            return None
        return self._keep_alive_at

    def handle_timer(self, session: Ikev1Session, now: float) -> Reason | None:
        """Ask what is due; the reason to close where the peer is dead."""
        due = self._detection_due(session)
        if due is not None and now >= due:
            if not (self._only_inquires and self._asked is not None) and not session.is_silent(now):
                self._asked = None
            elif self._asked is None:
                assert session.gateway is not None and session.gateway.dead_peer_detection is not None
                self._begin(session, Pace.of_detection(session.context.settings, session.gateway.dead_peer_detection),
                            now)
            elif self._asked.again(now):
                self._ask(session, NotifyType.R_U_THERE, now)
            elif self._only_inquires:
                self._asked = None
            else:
                return session.silence("Dead Peer Detection")
        due = self._keep_alive_due(session)
        if due is not None and now >= due:
            assert session.gateway is not None and session.gateway.keep_alive is not None
            if self._keep_alives_unanswered >= session.gateway.keep_alive.failures:
                return session.silence("IKE keep-alive")
            self._keep_alives_unanswered += 1
            self._keep_alive_at = now + session.gateway.keep_alive.interval
            self._ask(session, NotifyType.KEEP_ALIVE, now)
        return None

    def ask(self, session: Ikev1Session, now: float) -> None:
        """Before it is due; silence is then found as ever."""
        self._ask(session, NotifyType.R_U_THERE, now)

    def _ask(self, session: Ikev1Session, kind: NotifyType, now: float) -> None:
        self._sequence += 1
        session.inform([Notify(kind, self._sequence.to_bytes(_SEQUENCE_SIZE, "big"),
                               spi=session.spi_i + session.spi_r)], now)


def is_about(row: Notify) -> bool:
    """Whether it is a question, or an answer to ours, which `heard` has already counted."""
    return row.notify_type in _ANSWERS or row.notify_type in _ANSWERS.values()


def answer(session: Ikev1Session, row: Notify) -> list[Notify]:
    """To a question of the peer's, if it is one."""
    kind = _ANSWERS.get(row.notify_type)
    return [] if kind is None else [Notify(kind, row.data, spi=session.spi_i + session.spi_r)]
