# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a fleet's definition says, before it is unfolded into sides.

A full mesh stays one link: only what a site asks for is ever unfolded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..model import Direction, Endpoint, Gateway, Platform, Policy, Proposal, Route, Selector, Transform, Tunnel
from ..reading import Fields, Misfits


def pair_name(one: str, other: str) -> str:
    """What two sites have in common, such as their key, by one name whichever of them asks."""
    return f"{one}<->{other}" if one < other else f"{other}<->{one}"


@dataclass(frozen=True, slots=True, eq=False)
class Settings:
    """Fields of a gateway and of a tunnel, unread yet: they count together with those of other places."""

    gateway: Fields
    tunnel: Fields


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """One site.

    ``local`` and ``remote`` are its endpoints, in order, as it sees them itself and as its peers do. It is dynamic
    where no peer knows an address of it, and shares transforms where a peer does not know one. ``own`` is what is said
    of its ends alone.
    """

    name: str
    local: tuple[Endpoint, ...]
    remote: tuple[Endpoint, ...]
    networks: tuple[Selector, ...]
    platform: Platform
    managed: bool
    own: Settings | None
    position: int
    is_dynamic: bool
    shares_transforms: bool


@dataclass(frozen=True, slots=True, eq=False)
class Way:
    """What is said of the link between two sites. ``routes`` and ``direction`` are as the site ``first`` sees them.

    With each route stands whether it says its own direction.
    """

    first: str
    settings: Settings
    ends: Mapping[str, Settings] = field(default_factory=dict)
    routes: tuple[tuple[Route, bool], ...] = ()
    direction: Direction | None = None

    def routes_at(self, site: str, usual: Direction) -> tuple[Route, ...]:
        """As that one of the two sites sees them; one that says no direction has the usual one."""
        seen = ((route if self.first == site else route.mirrored, says) for route, says in self.routes)
        return tuple(route if says else replace(route, direction=usual) for route, says in seen)


@dataclass(frozen=True, slots=True, eq=False)
class Link:
    """How sites are joined: a pair, a hub (the first of ``sites``) with its spokes, or all with each other."""

    path: str
    sites: tuple[str, ...]
    way: Way
    mesh: bool = False
    through_hub: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """A gateway and a tunnel as the ends of many links have them; their names, endpoints and routes are nobody's."""

    gateway: Gateway
    tunnel: Tunnel


@dataclass(frozen=True, slots=True, eq=False)
class Fleet:
    """A definition that was read.

    ``transform_of`` and ``proposal_of`` have the built-in ones, too. ``overrides_of`` has each site's overrides with
    their positions in the definition; ``overrides_between`` goes by pair, as ``direct`` does, which has the links that
    name both sites. ``misfits`` takes what unfolding finds; ``profiles`` keeps what was unfolded once.
    """

    path: str
    sites: Mapping[str, Site]
    links: Sequence[Link]
    settings: Settings
    overrides_of: Mapping[str, Sequence[tuple[int, Settings]]]
    overrides_between: Mapping[str, Way]
    policy: Policy
    transforms: tuple[Transform, ...]
    transform_of: Mapping[str, Transform]
    shared_transforms: tuple[Transform, ...]
    proposals: tuple[Proposal, ...]
    proposal_of: Mapping[str, Proposal]
    misfits: Misfits
    links_of: Mapping[str, Sequence[Link]]
    direct: Mapping[str, Link]
    meshes: Sequence[tuple[frozenset[str], Link]]
    profiles: dict[tuple[object, ...], Profile] = field(default_factory=dict)

    def neighbours(self, name: str) -> Iterator[tuple[Link, str]]:
        """The sites that one is joined with, and by what, in the order of the definition."""
        for link in self.links_of.get(name, ()):
            if link.mesh:
                yield from ((link, other) for other in link.sites if other != name)
            elif link.sites[0] == name:
                yield from ((link, other) for other in link.sites[1:])
            else:
                yield link, link.sites[0]

    def joining(self, one: str, other: str) -> Link | None:
        """The link that joins the two directly."""
        link = self.direct.get(pair_name(one, other))
        return link or next((link for members, link in self.meshes if one in members and other in members), None)

    def layers(self, link: Link, own: str, peer: str) -> list[Settings]:
        """What counts for the end of a link at ``own``, from the widest to the closest."""
        found = [self.settings]
        at_site = self.sites[own].own
        if at_site is not None:
            found.append(at_site)
        found.append(link.way.settings)
        if own in link.way.ends:
            found.append(link.way.ends[own])
        if self.overrides_of:
            of_either = (*self.overrides_of.get(own, ()), *self.overrides_of.get(peer, ()))
            found.extend(settings for _position, settings in sorted(of_either, key=lambda item: item[0]))
        override = self.overrides_between.get(pair_name(own, peer)) if self.overrides_between else None
        if override is not None:
            found.append(override.settings)
            if own in override.ends:
                found.append(override.ends[own])
        return found
