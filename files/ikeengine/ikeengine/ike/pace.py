# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How often a message without an answer is sent again, and when it is given up: that is left to us, but that the
pauses grow (RFC 7296 §2.1, RFC 2408 §5.1, RFC 3706 §6.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..vpn.model import DeadPeerDetection

if TYPE_CHECKING:
    from .context import Context, Settings


@dataclass(frozen=True, slots=True)
class Pace:
    """The first pause and the longest, seconds, and how many repetitions there are."""

    first: float
    longest: float
    tries: int

    @classmethod
    def usual(cls, settings: Settings, tries: int | None = None) -> Pace:
        return cls(settings.retransmit_first, settings.retransmit_longest,
                   settings.retransmit_tries if tries is None else tries)

    @classmethod
    def of_detection(cls, settings: Settings, detection: DeadPeerDetection) -> Pace:
        """Who is to be missed soon is asked at shorter pauses: a peer is dead some two idle times after it was heard,
        where it is asked three times."""
        return cls(min(settings.retransmit_first, detection.idle / 5),
                   min(settings.retransmit_longest, detection.idle), detection.retries)

    @classmethod
    def of_doubt(cls, settings: Settings) -> Pace:
        """Something says that the peer has lost the IKE SA: see soon whether that is so."""
        return cls(settings.doubt_interval, settings.doubt_interval, settings.doubt_tries - 1)

    def after(self, pause: float, context: Context) -> tuple[float, float]:
        """The pause that follows, and how long it lasts by chance."""
        longer = min(pause * context.settings.retransmit_factor, self.longest)
        return longer, longer * (0.9 + 0.2 * context.fraction())
