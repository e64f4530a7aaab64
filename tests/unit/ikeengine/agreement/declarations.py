# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pairs of declarations that mirror each other, as two operators would write them, out of all that ikeengine speaks."""

from __future__ import annotations

import copy
import ipaddress
import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ikeengine.vpn import algorithms
from ikeengine.vpn.algorithms import Authentication, Encryption, GroupKind, KeyGroup, Strength, Use
from ikeengine.vpn.model import CredentialMethod, Direction, IdentityKind, IkeVersion, Mode, Protocol

Data = dict[str, Any]
_T = TypeVar("_T")

LIVES = ("24h", "8h", "90m", "1h30m", 86400)
TRAFFIC = ("128000 kB", "2 GB", 4194304)
STARTS = (("boot", "boot"), ("boot", "answer"), ("answer", "boot"), ("boot", "traffic"), ("traffic", "boot"),
          ("traffic", "answer"), ("answer", "traffic"), ("traffic", "traffic"))
_COST = {GroupKind.MONTGOMERY: 12, GroupKind.ECP: 5, GroupKind.MODP: 1}
"""How often a group of each kind is drawn: exponentiations modulo large primes take the most time."""


@dataclass
class Both:
    """Both ends' declarations, and what lies between and beside them.

    ``public`` is the address by which the left end knows the right one, where a NAT lies between them; ``userspace``
    names the gateways whose data plane does ESP in UDP only; ``addresses`` has those of an end, ``left`` or ``right``,
    whose own are dynamic.
    """

    left: Data
    right: Data
    public: str | None = None
    userspace: set[str] = field(default_factory=set)
    addresses: dict[str, str] = field(default_factory=dict)

    @property
    def ends(self) -> tuple[Data, Data]:
        return self.left, self.right

    def other(self, end: Data) -> Data:
        return self.right if end is self.left else self.left


def pair(draw: random.Random, version: IkeVersion | None = None) -> Both:
    """Two ends that agree, one the mirror of the other to the letter; of that IKE version, or of any."""
    version = version or draw.choices(tuple(IkeVersion), [1 if row is IkeVersion.V1 else 2
                                                           for row in tuple(IkeVersion)])[0]
    strict = draw.random() < 0.2 and version is IkeVersion.V2
    left_end, right_end = _endpoints(draw)
    left: Data = {
        "site": {"name": "hq"}, "policy": "strict" if strict else "standard",
        "transforms": [], "proposals": [], "tunnels": [],
        "gateways": [{"name": "branch", "ike_version": version.value, "credential": credential(draw),
                      "endpoints": [{"local": left_end, "remote": right_end}]}],
    }
    if version is IkeVersion.V1:
        left["gateways"][0].update(_of_ikev1(draw))
    left["transforms"] = _transforms(draw, left, strict)
    left["gateways"][0]["transforms"] = names(left["transforms"])
    places = itertools.count(1)
    for number in range(draw.choice((1, 1, 2, 3))):
        add_tunnel(draw, left, f"lan{number}", [route(draw, next(places)) for _ in range(draw.choice((1, 1, 2, 3)))])
    right = copy.deepcopy(left)
    right["site"]["name"] = "branch"
    (gateway,) = right["gateways"]
    gateway["name"] = "hq"
    gateway["endpoints"] = [{"local": right_end, "remote": left_end}]
    for tunnel in right["tunnels"]:
        tunnel["gateway"] = "hq"
        tunnel["routes"] = [mirrored(row) for row in tunnel["routes"]]
    left["gateways"][0]["start"], gateway["start"] = draw.choice(STARTS)
    return Both(left, copy.deepcopy(right))


def _of_ikev1(draw: random.Random) -> Data:
    """What a gateway of IKEv1 says besides, alike at both ends."""
    settings: Data = {"mode": draw.choice(tuple(Mode)).value}
    if draw.random() < 0.2:
        settings["nat_traversal"] = {"enabled": False}
    if draw.random() < 0.2:
        settings["ike_keep_alive"] = {"enabled": True, "interval": draw.choice((10, 30))}
    return settings


def version_of(end: Data) -> IkeVersion:
    return IkeVersion(end["gateways"][0]["ike_version"])


def nat_traversal_of(end: Data) -> bool:
    return bool(end["gateways"][0].get("nat_traversal", {}).get("enabled", True))


def able(end: Data, rows: Sequence[_T], *, phase: int = 1) -> list[_T]:
    """Of algorithms those that the end's IKE version has in that phase."""
    if version_of(end) is IkeVersion.V2:
        return list(rows)
    if phase == 1:
        return [row for row in rows if Use.IKEV1 in row.uses]  # type: ignore[attr-defined]
    return [row for row in rows if getattr(row, "ipsec_doi_id", 0) is not None]


def one_group(end: Data) -> bool:
    """Aggressive Mode, which may come after Main Mode, has one for all transforms."""
    return end["gateways"][0].get("mode", Mode.MAIN.value) != Mode.MAIN.value


def names(rows: Sequence[Data]) -> list[str]:
    return [row["name"] for row in rows]


def mirrored(row: Data) -> Data:
    turned = {"direction": Direction(row["direction"]).mirrored.value} if "direction" in row else {}
    return {"local": row["remote"], "remote": row["local"], **turned}


def credential(draw: random.Random) -> Data:
    """A key, or a certificate that `certificates.issued` puts there once nothing changes the identifiers any more."""
    method = draw.choice(tuple(CredentialMethod))
    return {"method": method.value, "psk": _KEYS[method](draw)} if method in _KEYS else {"method": method.value}


def _text(draw: random.Random) -> str:
    characters = "abcdefghijkmnpqrstuvwxyz23456789-äß"
    return f"a {''.join(draw.choice(characters) for _ in range(draw.randint(24, 40)))}."


def _digits(draw: random.Random) -> str:
    return draw.randbytes(draw.randint(16, 64)).hex()


_KEYS = {CredentialMethod.PSK: _text, CredentialMethod.HEX_PSK: _digits}


def _endpoints(draw: random.Random) -> tuple[Data, Data]:
    host = [draw.randint(1, 254) for _ in range(2)]
    addresses = draw.choice(((f"192.0.2.{host[0]}", f"198.51.100.{host[1]}"),
                             (f"192.0.2.{host[0]}", f"198.51.100.{host[1]}"),
                             (f"2001:db8:1::{host[0]:x}", f"2001:db8:2::{host[1]:x}")))
    left, right = ({"address": address, "identifier": identifier(draw, site, address)}
                   for site, address in zip(("hq", "branch"), addresses, strict=True))
    return left, right


def identifier(draw: random.Random, site: str, address: str, kind: IdentityKind | None = None) -> Data:
    """One of that site's, of the ``kind`` or of any."""
    kind = kind or draw.choice(tuple(IdentityKind))
    number = draw.randint(1, 99)
    values = {IdentityKind.IP_ADDRESS: address, IdentityKind.DOMAIN_NAME: f"{site}{number}.example.net",
              IdentityKind.DOMAIN_INFORMATION: f"gw{number}@{site}.example.net",
              IdentityKind.X500_NAME: f"O=Example, CN={site}{number}.example.net"}
    return {"type": kind.value, "value": values[kind]}


def strong(rows: Sequence[_T], strict: bool) -> list[_T]:
    return [row for row in rows if not strict or getattr(row, "strength", None) is not Strength.WEAK]


def group(draw: random.Random, end: Data, strict: bool = False) -> KeyGroup:
    rows = able(end, strong(algorithms.KEY_GROUPS, strict))
    return draw.choices(rows, [_COST[row.kind] for row in rows])[0]


def additional(draw: random.Random, end: Data) -> Data:
    """At times an additional key exchange, as a member of a transform or of PFS."""
    if draw.random() < 0.8 or version_of(end) is IkeVersion.V1:
        return {}
    return {"additional_key_exchange": draw.choice(algorithms.KEY_ENCAPSULATIONS).name}


def _transforms(draw: random.Random, end: Data, strict: bool) -> list[Data]:
    """Phase 1 transforms that differ from each other, with one life for each."""
    rows: dict[tuple[object, ...], Data] = {}
    only = group(draw, end, strict) if one_group(end) else None
    for _ in range(draw.choice((1, 1, 2, 3))):
        transform = {"authentication": draw.choice(strong(algorithms.AUTHENTICATIONS, strict)).name,
                     "encryption": draw.choice(able(end, strong(algorithms.ENCRYPTIONS, strict))).name,
                     "key_group": (only or group(draw, end, strict)).number, **additional(draw, end)}
        rows[members(transform)] = {**transform, "sa_life": draw.choice(LIVES)}
    return [{"name": f"p1-{number}", **row} for number, row in enumerate(rows.values())]


def proposal(draw: random.Random, end: Data, strict: bool, protocol: Protocol = Protocol.ESP) -> Data:
    """A Phase 2 proposal without its name."""
    row: Data = {"protocol": protocol.name}
    encryption: Encryption | None = None
    if protocol is Protocol.ESP:
        encryption = draw.choice(able(end, strong(algorithms.ENCRYPTIONS, strict), phase=2))
        row["encryption"] = encryption.name
    if encryption is None or not encryption.aead:
        authentication: Authentication = draw.choice(strong(algorithms.AUTHENTICATIONS, strict))
        row["authentication"] = authentication.name
    expiration = {"time": draw.choice(LIVES), "traffic": draw.choice(TRAFFIC)}
    if (dropped := draw.choice(("time", "traffic", "traffic", None))) is not None:
        del expiration[dropped]
    return {**row, "force_key_expiration": expiration}


def members(row: Data) -> tuple[object, ...]:
    """What two ends have to have in common in a transform or a proposal."""
    return tuple(row.get(field) for field in ("encryption", "authentication", "key_group", "additional_key_exchange"))


def proposals_of(end: Data, tunnel: Data) -> list[Data]:
    return [row for row in end["proposals"] if row["name"] in tunnel["proposals"]]


def protocol_of(end: Data, tunnel: Data) -> Protocol:
    """A tunnel has one of them, never both."""
    return Protocol[proposals_of(end, tunnel)[0].get("protocol", "ESP")]


def has_ah(both: Both) -> bool:
    return any(protocol_of(end, tunnel) is Protocol.AH for end in both.ends for tunnel in end["tunnels"])


def add_tunnel(draw: random.Random, end: Data, name: str, routes: list[Data],
               protocols: Sequence[Protocol] = tuple(Protocol)) -> Data:
    """A tunnel under the end's gateway, with proposals of its own that differ from each other."""
    strict = end["policy"] == "strict"
    protocol = draw.choices(protocols, [8 if row is Protocol.ESP else 1 for row in protocols])[0]
    rows = {members(row): row for row in (
        proposal(draw, end, strict, protocol) for _ in range(draw.choice((1, 1, 2, 4))))}
    own = [{"name": f"{name}-{number}", **row} for number, row in enumerate(rows.values())]
    end["proposals"] += own
    pfs: Data = {"enabled": draw.random() < 0.8}
    if pfs["enabled"]:
        pfs.update(key_group=group(draw, end, strict).number, **additional(draw, end))
    end["tunnels"].append({"name": name, "gateway": end["gateways"][0]["name"], "routes": routes,
                           "proposals": names(own), "pfs": pfs})
    return end["tunnels"][-1]  # type: ignore[no-any-return]


def add_route_based(draw: random.Random, both: Both) -> tuple[Data, Data]:
    """A tunnel with an interface at both ends; both. Addresses of IPv6 in it are at both ends or at neither."""
    left = add_tunnel(draw, both.left, "routed", [], (Protocol.ESP,) if both.public else tuple(Protocol))
    both.right["proposals"] += copy.deepcopy(proposals_of(both.left, left))
    right = {**copy.deepcopy(left), "gateway": both.right["gateways"][0]["name"]}
    both.right["tunnels"].append(right)
    with_ipv6 = draw.random() < 0.5
    for number, tunnel in enumerate((left, right), 1):
        tunnel["interface"] = {"name": f"vpn{number}", "addresses": [f"169.254.0.{number}/30"]}
        tunnel["interface"]["addresses"] += [f"fd99::{number}/126"] if with_ipv6 else []
    return left, right


def route(draw: random.Random, place: int, version: int | None = None) -> Data:
    """One whose two sides no route of another place touches: hosts, networks and ranges, of either family."""
    version = version or draw.choice((4, 4, 6))
    if version == 4 and draw.random() < 0.06:
        return {"local": "0.0.0.0/0", "remote": _selector(draw, 4, f"10.2.{place}.0/24")}
    sides = ("10.{}.{}.0/24", "fd00:{}:{}::/64")[version == 6]
    row = {end: _selector(draw, version, sides.format(number, place)) for number, end in ((1, "local"), (2, "remote"))}
    if draw.random() < 0.2:
        row["direction"] = draw.choice(tuple(Direction)).value
    return row


def _selector(draw: random.Random, version: int, room: str) -> str:
    """A host, a network or a range in that network."""
    network = ipaddress.ip_network(room)
    kind = draw.choice(("host", "network", "network", "subnet", "range"))
    if kind == "network":
        return room
    first = network[draw.randrange(0, 248, 8)]
    if kind == "host":
        return str(first + draw.randrange(8))
    if kind == "subnet":
        return f"{first}/{network.max_prefixlen - draw.randint(0, 3)}"
    return f"{first + draw.randrange(4)}-{first + draw.randint(4, 7)}"
