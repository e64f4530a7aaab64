# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""DELETEs of child SAs. RFC 2408 §5.15 has nothing answer them, so a lost one would leave the peer an SA for the rest
of its life: each is said twice, and between two of ours until the DELETED notification answers it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..ike.pace import Pace
from ..security_association import ChildSa
from ..wire.v1.constants import NotifyType
from ..wire.v1.delete import Delete
from ..wire.v1.notify import Notify
from .retransmission import Repeater

if TYPE_CHECKING:
    from .session import Ikev1Session

_REPETITIONS_WITH_OTHERS = 1


class Deletions:
    """Those of one ISAKMP SA that the peer may not have heard."""

    __slots__ = ("_said",)

    def __init__(self) -> None:
        self._said: dict[bytes, tuple[int, Repeater]] = {}

    def say(self, session: Ikev1Session, child: ChildSa, now: float) -> None:
        spi = child.spi_in.to_bytes(4, "big")
        pace = Pace.usual(session.context.settings, None if session.abilities.ours else _REPETITIONS_WITH_OTHERS)
        self._said[spi] = child.protocol.value, Repeater(session.context, b"", now, pace)
        session.inform([Delete(child.protocol.value, (spi,))], now)

    def inherit(self, other: Deletions) -> None:
        self._said |= other._said
        other._said = {}

    def heard(self, row: Notify) -> None:
        """The peer has taken one."""
        self._said.pop(row.data, None)

    def next_timer(self) -> float | None:
        return min((repeater.due for _protocol, repeater in self._said.values()), default=None)

    def handle_timer(self, session: Ikev1Session, now: float) -> None:
        for spi, (protocol, repeater) in list(self._said.items()):
            if now >= repeater.due:
                if repeater.again(now):
                    session.inform([Delete(protocol, (spi,))], now)
                else:
                    del self._said[spi]


def confirmations(session: Ikev1Session, row: Delete) -> list[Notify]:
    """What tells one of ours that it was heard."""
    return [Notify(NotifyType.DELETED, spi, row.protocol) for spi in row.spis] if session.abilities.ours else []
