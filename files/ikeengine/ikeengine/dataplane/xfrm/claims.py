# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose a policy is, where several protections want it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator

from ..interface import Protection
from . import policies
from .binding import UNBOUND, Binding
from .policies import Key


class Claims:
    """Protections by the policies that they want.

    The kernel's priorities have the longest prefixes win. But ranges come apart into prefixes, so a route inside of
    another may want a policy of just the other's name: it is the narrower one's.
    """

    def __init__(self) -> None:
        self._routes: dict[Key, dict[int, Protection]] = defaultdict(dict)
        self._near: dict[Key, set[int]] = defaultdict(set)
        self._bindings: dict[int, Binding] = {}

    def __contains__(self, key: Key) -> bool:
        return key in self._routes or key in self._near

    def __iter__(self) -> Iterator[Key]:
        """Every policy that somebody wants."""
        yield from self._routes.keys() | self._near.keys()

    def of(self, protection: Protection) -> Collection[Key]:
        """The policies of its route. Those that are not marked hold for what is marked for a VTI as well; so that none
        that lets pass takes precedence there, what is declared to be routed into it has policies besides."""
        binding = self._bindings.get(protection.reqid, UNBOUND)
        routes = (protection.route, *protection.routed) if binding.mark else (protection.route,)
        return tuple(key for route in routes for key in policies.keys(route, binding))

    def add(self, protection: Protection, binding: Binding = UNBOUND) -> Collection[Key]:
        """Every policy that it wants, bound to its device where it has one."""
        self._bindings[protection.reqid] = binding
        route, near = self.of(protection), tuple(policies.keys_of_near(protection))
        for key in route:
            self._routes[key][protection.reqid] = protection
        for key in near:
            self._near[key].add(protection.reqid)
        return dict.fromkeys((*route, *near))

    def drop(self, protection: Protection) -> Collection[Key]:
        """Every policy that it wanted, whether somebody else still does or not."""
        route, near = self.of(protection), tuple(policies.keys_of_near(protection))
        self._bindings.pop(protection.reqid, None)
        for key in route:
            claims = self._routes[key]
            claims.pop(protection.reqid, None)
            if not claims:
                del self._routes[key]
        for key in near:
            self._near[key].discard(protection.reqid)
            if not self._near[key]:
                del self._near[key]
        return dict.fromkeys((*route, *near))

    def owner(self, key: Key) -> Protection | None:
        """The narrowest route that wants it; None where it is only to let pass what is near, or nobody wants it."""
        claims = self._routes.get(key)
        return min(claims.values(), key=_breadth) if claims else None


def _breadth(protection: Protection) -> tuple[int, int]:
    remote, local = protection.route.remote, protection.route.local
    return remote.high - remote.low, local.high - local.low
