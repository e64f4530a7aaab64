# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a gateway is wanted to be, and when it is tried next."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from .ike.context import Settings
from .vpn.model import Gateway, Route, Start, Tunnel


@dataclass(slots=True)
class Peer:
    """One declared gateway. ``refused``: an operator took it down; ``held`` names its tunnels that one took down;
    ``noted_timer`` is when it is tried next, for the manager to keep; ``replace_by`` is when the IKE SAs that are to be
    replaced go without a successor, infinity where they rather stay, None where none is to be; ``prove_at`` is when the
    ends are to show that they take each other by what is declared now, if what is up has not shown it."""

    gateway: Gateway
    wanted: bool
    refused: bool = False
    attempts: int = 0
    noted_timer: float | None = None
    replace_by: float | None = None
    prove_at: float | None = None
    hinted_at: float = -math.inf
    last_error: str | None = None
    held: set[str] = field(default_factory=set)
    tunnel_errors: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, gateway: Gateway) -> Peer:
        return cls(gateway, gateway.start is Start.BOOT)

    def try_later(self, settings: Settings, fraction: float) -> float:
        """Seconds to wait before the next try: exponential, with jitter, without end."""
        pause = min(settings.retry_first * settings.retry_factor ** min(self.attempts, 30), settings.retry_longest)
        self.attempts += 1
        return pause * (0.75 + 0.5 * fraction)

    @staticmethod
    def look_again(settings: Settings, fraction: float) -> float:
        """Seconds after which to see whether a route is still missing, which the peer may be about to fill."""
        return settings.retry_first * (1.0 + fraction)

    def succeeded(self) -> None:
        self.attempts = 0
        self.last_error = None


def missing_routes(peer: Peer, tunnels: tuple[Tunnel, ...],
                   covered: set[tuple[str, Route]]) -> list[tuple[Tunnel, Route]]:
    """The routes of the gateway that ought to have a child SA and have none."""
    return [(tunnel, route) for tunnel in tunnels if tunnel.name not in peer.held for route in tunnel.secured
            if (tunnel.name, route) not in covered]
