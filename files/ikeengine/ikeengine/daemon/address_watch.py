# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Notices when packets to a peer take another way: another address of this host, another interface, another router."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pyroute2.netlink import nlmsg

from ..dataplane.netlink import NETLINK_ROUTE, NetlinkError, NetlinkEvents
from ..vpn.selectors import Address
from .log import Log
from .routes import Routes

#: linux/rtnetlink.h. A link that goes down takes IPv4 routes with it that nothing else tells of.
_RTNLGRP_LINK = 1
_GROUPS = (_RTNLGRP_LINK, 5, 7, 9, 11)  # and the addresses and routes of IPv4 and of IPv6

#: Seconds: what changes an address makes many messages, and is over by then; between two looks where it never ends.
_SETTLES, _PAUSE = 0.1, 0.5
#: Ways looked at before the sockets have their turn; each takes a tenth of a millisecond or two.
_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Way:
    """How a packet leaves: from which address, by which interface, over which router."""

    source: str | None
    interface: int | None
    router: str | None


class AddressWatch:
    """``ways`` are the addresses of peers that count, and ``on_change`` hears of each to which the way is another.
    ``on_news`` hears that anything may be another, this host's addresses included."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ways: Callable[[], Iterable[Address]],
                 on_change: Callable[[Address], None], on_news: Callable[[], None]) -> None:
        """Raises NetlinkError."""
        self._loop, self._ways, self._on_change, self._on_news = loop, ways, on_change, on_news
        self._routes = Routes()
        self._events = NetlinkEvents(NETLINK_ROUTE, _GROUPS, lambda _kind, _octets: nlmsg())
        self._known: dict[Address, Way | None] = {}
        self._to_look_at: list[Address] = []
        self._looked_at = 0.0
        self._is_stale = False  # something has changed since the last look began
        self._due: asyncio.TimerHandle | None = None
        loop.add_reader(self._events.fileno(), self._heard)

    def close(self) -> None:
        self._loop.remove_reader(self._events.fileno())
        if self._due is not None:
            self._due.cancel()
        self._events.close()
        self._routes.close()

    def _heard(self) -> None:
        for _message in self._events.read():
            self._is_stale = True
        if self._is_stale and self._due is None:
            self._begin_soon()

    def _begin_soon(self) -> None:
        due = max(self._loop.time() + _SETTLES, self._looked_at + _PAUSE)
        self._due = self._loop.call_at(due, self._begin)

    def _begin(self) -> None:
        self._is_stale = False
        self._to_look_at = list(self._ways())
        self._known = {remote: self._known[remote] for remote in self._to_look_at if remote in self._known}
        self._look()
        self._on_news()

    def _look(self) -> None:
        self._due = None
        for _number in range(min(_AT_ONCE, len(self._to_look_at))):
            remote = self._to_look_at.pop()
            way = self._way(remote)
            if remote not in self._known or self._known[remote] != way:
                self._known[remote] = way
                self._on_change(remote)
        self._looked_at = self._loop.time()
        if self._to_look_at:
            self._due = self._loop.call_at(self._looked_at, self._look)
        elif self._is_stale:
            self._begin_soon()

    def _way(self, remote: Address) -> Way | None:
        route = self._routes.to(remote)
        if route is None:
            return None
        return Way(route.get_attr("RTA_PREFSRC"), route.get_attr("RTA_OIF"), route.get_attr("RTA_GATEWAY"))


def watch(loop: asyncio.AbstractEventLoop, ways: Callable[[], Iterable[Address]],
          on_change: Callable[[Address], None], on_news: Callable[[], None], log: Log) -> AddressWatch | None:
    """The watch; on a host that does not tell of its addresses none, and a warning."""
    try:
        return AddressWatch(loop, ways, on_change, on_news)
    except (NetlinkError, OSError) as error:
        log.warning("other addresses of this host will be noticed when peers are silent only", reason=str(error))
        return None
