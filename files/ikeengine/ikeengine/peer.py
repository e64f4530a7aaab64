# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One declared gateway as it is kept up: what it is wanted to be, and which of its endpoint pairs has its turn."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from .ike.context import Settings
from .ike.rate import Rate
from .security_association import SocketAddress
from .vpn.model import EndpointPair, Gateway, Start
from .vpn.selectors import Address

#: Moves of a peer one after another: there, back, and to where it is. Then there is one a second.
_MOVES = 3


@dataclass(slots=True)
class BackOff:
    """Pauses between tries that fail in turn: exponential, with jitter, without end. ``until`` is when the last one
    ends."""

    failures: int = 0
    until: float = -math.inf
    _pause: float = 0.0

    def failed(self, settings: Settings, fraction: float, now: float) -> float:
        """Returns until when to wait."""
        self._pause = _pause(settings, fraction, self.failures)
        self.failures += 1
        self.until = now + self._pause
        return self.until

    def lost(self, settings: Settings, fraction: float, now: float) -> float:
        """As `failed`, of what had come up: what then stayed for as long as the pause before it had no failure."""
        if now >= self.until + self._pause:
            self.failures = 0
        return self.failed(settings, fraction, now)


def _pause(settings: Settings, fraction: float, failures: int) -> float:
    pause = min(settings.retry_first * settings.retry_factor ** min(failures, 30), settings.retry_longest)
    return pause * (0.75 + 0.5 * fraction)


@dataclass(slots=True)
class Peer:
    """``refused``: an operator took it down; ``held`` names its tunnels that one took down. ``retry_at`` is when it is
    tried next, ``probe_at`` when an endpoint pair before the one in use is; ``noted_timer`` is for `Timers` to
    keep. ``replace_by`` is when the IKE SAs that are to be replaced go without a successor, infinity where they
    rather stay, None where none is to be; ``prove_at`` is when the ends are to show that they take each other by what
    is declared now, if what is up has not shown it. Times are those of the sessions' clock. ``key_turn`` is which of
    the accepted pre-shared keys the peer gets to see next, of which it refused those before. Until ``rests_until``
    traffic does not have it tried: it has just failed."""

    gateway: Gateway
    wanted: bool
    refused: bool = False
    noted_timer: float | None = None
    retry_at: float | None = None
    probe_at: float | None = None
    replace_by: float | None = None
    prove_at: float | None = None
    key_turn: int = 0
    hinted_at: float = -math.inf
    rests_until: float = -math.inf
    last_error: str | None = None
    held: set[str] = field(default_factory=set)
    tunnel_errors: dict[str, str] = field(default_factory=dict)
    #: Rounds of all endpoint pairs without success.
    rounds: int = 0
    #: IKE SAs that went after they had come up, child SAs of each tunnel that the peer refuses or closes, and tries to
    #: have both ends show that they take each other.
    endings: BackOff = field(default_factory=BackOff)
    refusals: dict[str, BackOff] = field(default_factory=dict)
    proving: BackOff = field(default_factory=BackOff)
    #: What is left of this round, and of the pairs that are looked at while a later one is in use; the next first.
    to_try: list[EndpointPair] = field(default_factory=list)
    to_probe: list[EndpointPair] = field(default_factory=list)
    #: The pair of the last IKE SA.
    pair: EndpointPair | None = None
    #: Why each pair failed the last time, if it has not served since.
    failures: dict[EndpointPair, str] = field(default_factory=dict)
    #: Addresses for want of which pairs were passed over when it was last tried.
    absent: set[Address] = field(default_factory=set)
    #: How often an earlier pair failed again soon after it had been gone back to, and when that was the last time.
    relapses: int = 0
    went_back_at: float | None = None
    #: How often it is followed to where its packets come from, which costs as much as it has child SAs; and where it is
    #: to be followed to when it may be: by the packet of which child SA, between which addresses.
    moves: Rate = field(default_factory=lambda: Rate(_MOVES, 1.0))
    move: tuple[int, SocketAddress, SocketAddress] | None = None
    move_at: float | None = None

    @classmethod
    def of(cls, gateway: Gateway) -> Peer:
        return cls(gateway, gateway.start is Start.BOOT, to_try=list(gateway.endpoints))

    @property
    def has_several_pairs(self) -> bool:
        return len(self.gateway.endpoints) > 1

    @property
    def due(self) -> float | None:
        """When the soonest of its plans is."""
        plans = [time for time in (self.retry_at, self.probe_at, self.replace_by, self.prove_at, self.move_at)
                 if time is not None and time != math.inf]
        return min(plans, default=None)

    def declare(self, gateway: Gateway) -> None:
        """It is declared like this from now on; another start undoes what an operator took up or down."""
        if gateway.start is not self.gateway.start:
            self.wanted, self.refused = gateway.start is Start.BOOT, False
            self.held.clear()
            self.retry_at, self.rests_until = None, -math.inf
        if gateway.endpoints != self.gateway.endpoints:
            self.failures = {pair: why for pair, why in self.failures.items() if pair in gateway.endpoints}
            self.to_try, self.to_probe = list(gateway.endpoints), []
        self.gateway = gateway

    def begin_round(self, *, last: EndpointPair | None = None, first: EndpointPair | None = None) -> None:
        """All pairs in their order, but one that has just died comes ``last``, and one that is to stay ``first``."""
        self.to_try = sorted(self.gateway.endpoints, key=lambda pair: (pair == last) - (pair == first))

    def before(self, pair: EndpointPair) -> list[EndpointPair]:
        """The pairs that are preferred to that one, in order."""
        pairs = self.gateway.endpoints
        return list(pairs[:pairs.index(pair)]) if pair in pairs else list(pairs)

    def forget_plans(self) -> None:
        """Nothing is tried until somebody asks, and then as if for the first time."""
        self.retry_at = self.probe_at = None
        self.rounds, self.endings = 0, BackOff()
        self.refusals.clear()
        self.begin_round()

    def tries(self, settings: Settings) -> int | None:
        """How often a message of a beginning IKE SA is repeated: less while other pairs wait for their turn, more with
        each round, since all may be slow; None where there is one pair."""
        if not self.has_several_pairs:
            return None
        return min(settings.failover_tries + self.rounds, settings.retransmit_tries)

    def try_later(self, settings: Settings, fraction: float) -> float:
        """Seconds to wait before the next round."""
        self.rounds += 1
        return _pause(settings, fraction, self.rounds - 1)

    @staticmethod
    def look_again(settings: Settings, fraction: float) -> float:
        """Seconds after which to see whether a route is still missing, which the peer may be about to fill."""
        return settings.retry_first * (1.0 + fraction)

    def probe_later(self, settings: Settings, fraction: float) -> float:
        """Seconds until the pairs before the one in use are looked at; the longer, the more often one that came back
        did not stay."""
        pause = min(settings.failback_interval * 2.0 ** min(self.relapses, 30), settings.failback_longest)
        return pause * (0.75 + 0.5 * fraction)

    def succeeded(self, pair: EndpointPair, settings: Settings, now: float) -> EndpointPair | None:
        """An IKE SA came up by that pair. Returns the pair of the one before, where it was another."""
        self.rounds, self.last_error = 0, None
        self.failures.pop(pair, None)
        self.refusals.clear()
        self.begin_round()
        before, self.pair = self.pair, pair
        if before is None or before == pair:
            return None
        if pair in self.before(before):
            self.went_back_at = now
        elif self.went_back_at is not None:
            self.relapses = self.relapses + 1 if now - self.went_back_at < settings.steady else 0
            self.went_back_at = None
        return before
