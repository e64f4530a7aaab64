# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads a fleet's definition: every error at once, with the path of its field."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from itertools import combinations

from .. import declaration, reading
from ..declaration import (
    DEFAULT_PROPOSAL,
    DEFAULT_TRANSFORM,
    GATEWAY,
    PROPOSAL,
    TRANSFORM,
    TUNNEL,
    DeclarationError,
)
from ..layers import Layers
from ..model import Direction, Endpoint, Policy, Route
from ..reading import Fields, Misfit, Misfits
from ..selectors import Selector
from .expansion import end, profile
from .model import Fleet, Link, Settings, Site, Way, pair_name

_FLEET = ("policy", "transforms", "shared_transforms", "proposals", "gateway", "tunnel", "sites", "links", "overrides")
_BOTH_GATEWAY = tuple(name for name in GATEWAY if name not in ("name", "endpoints"))
_BOTH_TUNNEL = tuple(name for name in TUNNEL if name not in ("name", "gateway", "routes", "interface"))
_OWN_GATEWAY = ("credential", "nat_traversal", "dead_peer_detection", "ike_keep_alive", "start")
_OWN_TUNNEL = ("sa_pairs", "dataplane", "interface")
"""What the two ends need not agree on, so that one may have it of its own."""
_SITE = (*declaration.ENDPOINT, "addresses", "networks", "platform", "firmware", "managed", "gateway", "tunnel")
_ENDS = ("gateway", "tunnel", "ends", "routes", "direction")
_LINKS = {"pair": ("pair", *_ENDS), "hub": ("hub", "spokes", "through_hub", "gateway", "tunnel", "direction"),
          "mesh": ("mesh", "gateway", "tunnel")}
_OVERRIDES = {"between": ("between", *_ENDS), "of": ("of", "gateway", "tunnel")}


def read(data: object, path: str = "ipsec_fleet") -> Fleet:
    """The fleet that plain data defines; ``path`` is what findings call it.

    Raises DeclarationError with every error there is. What only shows in two overrides taken together may be left for
    ``sides`` to raise.
    """
    misfits = Misfits("")
    fleet = _Reader(data, path, misfits).fleet()
    sound = not misfits.findings
    for link, own, peer in _samples(fleet):
        try:
            _check(fleet, link, own, peer)
        except Misfit as misfit:
            if sound:  # else a stand-in for what could not be read may be to blame
                misfits.add(link.path, misfit, misfit.state)
    if misfits.findings:
        raise DeclarationError(tuple(dict.fromkeys(misfits.findings)))
    return fleet


def _check(fleet: Fleet, link: Link, own: str, peer: str) -> None:
    """Raises Misfit where the two sites cannot be joined."""
    shapes = []
    for one, other in ((own, peer), (peer, own)):
        here, there = fleet.sites[one], fleet.sites[other]
        shape = profile(fleet, link, here, there)
        shapes.append((one, shape))
        end(fleet, link, here, there, shape, shape.gateway.credential)
    routed = [name for name, shape in shapes if shape.tunnel.interface is not None]
    if len(routed) == 1:
        raise Misfit("a tunnel is route-based at both ends or at none", "Give both ends an interface, or neither",
                     state=f"joins {own} and {peer}, of which only {routed[0]} has an interface")


def _samples(fleet: Fleet) -> Iterator[tuple[Link, str, str]]:
    """Links of two sites among which is one of every kind, without unfolding a mesh."""
    for link in fleet.links:
        if not link.mesh:
            yield from ((link, link.sites[0], other) for other in link.sites[1:])
            continue
        kinds: defaultdict[object, list[str]] = defaultdict(list)
        for name in link.sites:
            kinds[_kind(fleet.sites[name])].append(name)
            if fleet.sites[name].own is not None:
                yield link, name, link.sites[1 if name == link.sites[0] else 0]
        first = [names[0] for names in kinds.values()]
        yield from ((link, one, other) for one, other in combinations(first, 2))
        yield from ((link, names[0], names[1]) for names in kinds.values() if len(names) > 1)
    for name in fleet.overrides_of:
        yield from ((link, name, peer) for link, peer in fleet.neighbours(name))
    for name in fleet.overrides_between:
        one, _arrow, other = name.partition("<->")
        joining = fleet.joining(one, other)
        if joining is not None:
            yield joining, one, other


def _kind(site: Site) -> object:
    return (frozenset(endpoint.address and endpoint.address.version for endpoint in site.remote),
            frozenset(network.version for network in site.networks))


class _Reader:
    """Reads one definition; its methods follow the definition's shape from the outside in."""

    def __init__(self, data: object, path: str, misfits: Misfits) -> None:
        self._path, self._misfits = path, misfits
        self._top = Fields(data, path, _FLEET, misfits)
        self._sites: dict[str, Site] = {}
        self._direct: dict[str, Link] = {}
        self._meshes: list[tuple[frozenset[str], Link]] = []
        self._links_of: defaultdict[str, list[Link]] = defaultdict(list)

    def fleet(self) -> Fleet:
        top = self._top
        transforms = tuple(declaration.read_transform(fields) for fields in top.sections("transforms", TRANSFORM))
        proposals = tuple(declaration.read_proposal(fields) for fields in top.sections("proposals", PROPOSAL))
        transform_of = {item.name: item for item in (DEFAULT_TRANSFORM, *transforms)}
        self._read_sites()
        links = [link for fields in self._either("links", _LINKS) if (link := self._link(*fields)) is not None]
        overrides_of: defaultdict[str, list[tuple[int, Settings]]] = defaultdict(list)
        overrides_between: dict[str, Way] = {}
        for position, (fields, kind) in enumerate(self._either("overrides", _OVERRIDES)):
            if kind == "of":
                name = fields.take("of", self._site, None)
                if name is not None:
                    overrides_of[name].append((position, self._settings(fields)))
            else:
                self._override(fields, overrides_between)
        return Fleet(
            path=self._path, sites=self._sites, links=links, settings=self._settings(top),
            overrides_of=overrides_of, overrides_between=overrides_between,
            policy=top.take("policy", reading.choice(Policy), Policy.STANDARD),
            transforms=transforms, transform_of=transform_of,
            shared_transforms=declaration.referred(top, "shared_transforms", transform_of, ())
            if top.listed("shared_transforms") else (),
            proposals=proposals, proposal_of={item.name: item for item in (DEFAULT_PROPOSAL, *proposals)},
            misfits=self._misfits, links_of=self._links_of, direct=self._direct, meshes=self._meshes)

    def _read_sites(self) -> None:
        for position, (name, data) in enumerate(_by_name(self._top, "sites", required=True)):
            fields = Fields(data, f"{self._path}.sites[{name}]", _SITE, self._misfits)
            platform = declaration.read_platform(fields)
            local, remote = self._endpoints(fields)
            own = self._settings(fields, own=True) if "gateway" in fields or "tunnel" in fields else None
            self._sites[name] = Site(name, local, remote, fields.each("networks", _NETWORK), platform,
                                     fields.take("managed", reading.flag, platform.is_linux), own, position,
                                     all(endpoint.address is None for endpoint in remote),
                                     any(endpoint.address is None for endpoint in remote))

    def _endpoints(self, fields: Fields) -> tuple[tuple[Endpoint, ...], tuple[Endpoint, ...]]:
        """A site's endpoints as it has them, and as its peers reach for them."""
        if "addresses" not in fields:
            local, remote = _endpoint(fields)
            return (local,), (remote,)
        for field in ("address", "public_address"):
            if field in fields:
                fields.report(field, Misfit("a site has one address, or addresses", f"Remove {field}", state="is set"))
        both = []
        for index, element in enumerate(fields.listed("addresses", required=True)):
            data = {"address": element} if isinstance(element, str) else element
            path = f"{fields.path}.addresses[{index}]"
            both.append(_endpoint(Layers(fields, Fields(data, path, declaration.ENDPOINT, self._misfits))))
        return tuple(local for local, _remote in both), tuple(remote for _local, remote in both)

    def _settings(self, fields: Fields, *, own: bool = False) -> Settings:
        return Settings(fields.section("gateway", _OWN_GATEWAY if own else _BOTH_GATEWAY),
                        fields.section("tunnel", _OWN_TUNNEL if own else _BOTH_TUNNEL))

    def _either(self, name: str, kinds: Mapping[str, tuple[str, ...]]) -> Iterator[tuple[Fields, str]]:
        """Each entry of a list with its kind, which is the first of the kinds' fields that it has."""
        for index, element in enumerate(self._top.listed(name)):
            given = element if isinstance(element, Mapping) else {}
            kind = next((kind for kind in kinds if kind in given), None)
            known = tuple(dict.fromkeys(field for fields in kinds.values() for field in fields))
            path = f"{self._path}.{name}[{index}]"
            fields = Fields(element, path, known if kind is None else kinds[kind], self._misfits)
            if kind is not None:
                yield fields, kind
            elif isinstance(element, Mapping):
                self._misfits.add(path, Misfit(f"an entry of {name} has one of {', '.join(kinds)}",
                                               f"Add {' or '.join(kinds)}", code="missing-field"), "is of no kind")

    def _link(self, fields: Fields, kind: str) -> Link | None:
        if kind == "hub":
            hub = fields.take("hub", self._site, None)
            spokes = self._several(fields, "spokes", least=1)
            if hub in spokes and not _is_all(fields, "spokes"):
                fields.report("spokes", Misfit("a hub is no spoke of its own", f"Remove {hub} from them",
                                               state=f"has {hub}"))
            members = () if hub is None else (hub, *(name for name in spokes if name != hub))
        else:
            members = self._several(fields, kind, least=2)
        if kind == "pair" and len(members) > 2:
            fields.report(kind, Misfit("a pair has two sites", "Write the two, or mesh", state=f"has {len(members)}"))
        if len(members) < 2:
            return None
        link = Link(fields.path, members, self._way(fields, members), kind == "mesh",
                    fields.take("through_hub", reading.flag, False))
        _hold_to_hub(fields, link.way, link)
        self._join(link)
        return link

    def _join(self, link: Link) -> None:
        """Remember what a link joins; two sites that another joins already make an error."""
        if link.mesh:
            members = frozenset(link.sites)
            twice = [(name, other) for name, other in self._direct.items()
                     if members.issuperset(name.split("<->"))]
            twice += [(pair_name(*sorted(members & others)[:2]), other) for others, other in self._meshes
                      if len(members & others) > 1]
            self._meshes.append((members, link))
        else:
            names = [pair_name(link.sites[0], other) for other in link.sites[1:]]
            twice = [(name, self._direct[name]) for name in names if name in self._direct]
            twice += [(name, other) for name in names for others, other in self._meshes
                      if others.issuperset(name.split("<->"))]
            self._direct.update(dict.fromkeys(names, link))
        for name, other in twice:
            self._misfits.add(link.path, Misfit("two sites are joined once", "Keep one of the two, and say what "
                                                "differs in overrides", code="joined-twice"),
                              f"joins {name} as {other.path} does")
        for site in link.sites:
            self._links_of[site].append(link)

    def _override(self, fields: Fields, known: dict[str, Way]) -> None:
        members = self._several(fields, "between", least=2)
        if len(members) != 2:
            if len(members) > 2:
                fields.report("between", Misfit("a link has two ends", "Write two sites", state=f"has {len(members)}"))
            return
        name, found = pair_name(*members), set(members)
        if name not in self._direct and not any(found <= others for others, _link in self._meshes):
            fields.report("between", Misfit("no link joins them", "Join them in links, or remove the override",
                                            code="unknown-reference", state=f"is {' and '.join(members)}"))
        if name in known:
            fields.report("between", Misfit("a link has one override", "Join the two", code="duplicate-name",
                                            state=f"is {' and '.join(members)} again"))
        way = known[name] = self._way(fields, members)
        if name in self._direct:
            _hold_to_hub(fields, way, self._direct[name])

    def _way(self, fields: Fields, members: tuple[str, ...]) -> Way:
        ends = {}
        for name, data in _by_name(fields, "ends"):
            if name in members:
                inner = Fields(data, f"{fields.path}.ends[{name}]", ("gateway", "tunnel"), self._misfits)
                ends[name] = self._settings(inner, own=True)
            else:
                fields.report("ends", Misfit(f"the ends are {' and '.join(members)}", "Name one of them",
                                             code="unknown-reference", state=f"has {reading.shown(name)}"))
        routes: tuple[tuple[Route, bool], ...] = ()
        if "routes" in fields:
            routes = tuple((declaration.read_route(route), "direction" in route) for route in fields.sections(
                "routes", ("local", "remote", "direction"), named=False, required=True))
        return Way(members[0], self._settings(fields), ends, routes,
                   fields.take("direction", reading.choice(Direction), None))

    def _several(self, fields: Fields, name: str, *, least: int) -> tuple[str, ...]:
        """The sites that a list names, or ``all``."""
        if _is_all(fields, name):
            return tuple(self._sites)
        members = fields.each(name, self._site, required=True)
        for member in dict.fromkeys(member for member in members if members.count(member) > 1):
            fields.report(name, Misfit("a site stands only once in it", "Remove one of the two", code="duplicate-name",
                                       state=f"has {member} twice"))
        if name in fields and len(fields.listed(name)) < least:
            fields.report(name, Misfit(f"it takes {least} sites or more", "Add what is missing",
                                       state=f"has {len(members)}"))
        return tuple(dict.fromkeys(members))

    def _site(self, value: object) -> str:
        """A parser of one site's name."""
        word = reading.name(value)
        if word not in self._sites:
            raise reading.unknown_name(word, self._sites, "site", "define")
        return word


_NETWORK: Callable[[object], Selector] = reading.sentence(
    Selector.parse, "Write a host, a network or a range, such as 10.1.0.0/24")


def _endpoint(fields: Fields) -> tuple[Endpoint, Endpoint]:
    """What a site and its peers take for its endpoint; behind a NAT the two have different addresses."""
    local = declaration.read_endpoint(fields)
    public = local.public_address
    return local, local if public is None else Endpoint(public, local.identity)


def _by_name(fields: Fields, name: str, *, required: bool = False) -> Iterator[tuple[str, object]]:
    """Each entry of the mapping under ``name`` with its own name, which YAML may take for a number."""
    seen = set()
    for label, data in fields.take(name, reading.mapping, {}, required=required).items():
        try:
            word = reading.name(label)
        except Misfit as misfit:
            fields.report(name, misfit, label)
            continue
        if word in seen:
            fields.report(name, Misfit("names are unique in it", "Rename one of the two", code="duplicate-name",
                                       state=f"has {reading.shown(label)} again"))
        seen.add(word)
        yield word, data


def _hold_to_hub(fields: Fields, way: Way, link: Link) -> None:
    """Report what would have one leg of a way through a hub carry less than the other expects of it."""
    if not link.through_hub:
        return
    rule, through_hub = "spokes reach each other's networks through the hub, both ways", f"{link.path}.through_hub"
    if way.direction is not None and way.direction is not Direction.BOTH:
        fields.report("direction", Misfit(rule, f"Remove direction, or {through_hub}",
                                          state=f"is {way.direction.value}"))
    if way.routes:
        fields.report("routes", Misfit(rule, "Remove routes and say in networks what lies behind the spoke, or remove "
                                             f"{through_hub}", state="is set"))


def _is_all(fields: Fields, name: str) -> bool:
    return fields.take(name, lambda value: isinstance(value, str) and value.strip().lower() == "all", False)
