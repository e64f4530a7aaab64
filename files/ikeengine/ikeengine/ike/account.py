# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a negotiation came to, for whoever asks afterwards: both ends' offers, identifiers, credential, and the failure.

It is kept on the way at the cost of a few references: words are made of it only when somebody asks.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from ..negotiation.identities import Received
from ..negotiation.matching import Offer
from ..negotiation.reasons import Reason
from ..security_association import SocketAddress
from ..vpn.model import EndpointPair, IkeVersion, Route
from ..vpn.selectors import Address

#: Offers, once they are wanted.
Offers: TypeAlias = Callable[[], Sequence[Offer]]


@dataclass(slots=True)
class ChildAccount:
    """The last negotiation of a tunnel's child SA in one IKE SA. ``theirs`` and ``ours`` are Phase 2 offers,
    ``selectors`` the peer's in words, ``routes`` ours. ``tunnel`` is empty where it came to none."""

    tunnel: str
    initiator: bool
    at: float
    ours: Offers
    routes: Sequence[Route]
    theirs: Offers = tuple
    selectors: Callable[[], str] = str
    failure: Reason | None = None
    notify: str | None = None


@dataclass(slots=True)
class Account:
    """One negotiation of an IKE SA, as far as it came. ``reached`` is the last exchange whose message of the peer's
    was taken. ``theirs`` is the peer's offer to us as responder, and its choice for us as initiator.

    ``pair`` is the endpoint pair, once it is known; ``local`` and ``remote`` are between which addresses it began.
    ``presented`` is how the peer calls itself and ``asked`` how it calls us; ``credential`` says what was checked.
    """

    version: IkeVersion
    initiator: bool
    began_at: float
    local: SocketAddress
    remote: SocketAddress
    pair: EndpointPair | None = None
    reached: str = ""
    theirs: Offers = tuple
    ours: Offers = tuple
    presented: Received | None = None
    asked: Received | None = None
    credential: str = ""
    established_at: float | None = None
    failure: Reason | None = None
    notify: str | None = None
    children: dict[str, ChildAccount] = field(default_factory=dict)

    def succeed(self, now: float) -> None:
        """The IKE SA is up; what went wrong on the way is forgotten."""
        self.established_at, self.failure, self.notify = now, None, None

    def fail(self, reason: Reason, notify: str | None, tunnel: str | None) -> None:
        """Of a tunnel's negotiation, or of the IKE SA's."""
        child = self.children.get(tunnel or "")
        if child is not None and self.established_at is not None:
            child.failure, child.notify = reason, notify
        elif tunnel is None and self.failure is None:
            self.failure, self.notify = reason, notify


class Accounts:
    """The last negotiation of every gateway in either role, and of the last peers that were no gateway of ours."""

    MOST_STRANGERS = 32

    def __init__(self) -> None:
        self._of_gateway: dict[str, dict[bool, Account]] = {}
        self._failed: dict[str, Account] = {}
        self._strangers: OrderedDict[Address, Account] = OrderedDict()

    def remember(self, account: Account, gateway: str) -> None:
        """``gateway`` is empty where nobody knows whose it is."""
        if gateway:
            self._of_gateway.setdefault(gateway, {})[account.initiator] = account
            if account.failure is not None:
                self._failed[gateway] = account
            return
        address = account.remote.address
        self._strangers[address] = account
        self._strangers.move_to_end(address)
        if len(self._strangers) > self.MOST_STRANGERS:
            self._strangers.popitem(last=False)

    def keep(self, gateways: Collection[str]) -> None:
        """Forget what belongs to others."""
        self._of_gateway = {name: rows for name, rows in self._of_gateway.items() if name in gateways}
        self._failed = {name: row for name, row in self._failed.items() if name in gateways}

    def of(self, gateway: str) -> list[Account]:
        """The latest first."""
        return sorted(self._of_gateway.get(gateway, {}).values(), key=lambda row: row.began_at, reverse=True)

    def failed(self, gateway: str) -> Account | None:
        """The last that came to no IKE SA, whatever is under way since."""
        account = self._failed.get(gateway)
        return account if account is not None and account.established_at is None else None

    def met_at(self, address: Address) -> list[str]:
        """The gateways whose last negotiation was with that address."""
        return [name for name, rows in self._of_gateway.items()
                if any(row.remote.address == address for row in rows.values())]

    @property
    def strangers(self) -> Mapping[Address, Account]:
        """The latest last."""
        return self._strangers
