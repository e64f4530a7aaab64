# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Differences between two ends that nobody minds: neither the wire nor a validation may call them a fault."""

from __future__ import annotations

import copy
import ipaddress
import random
from collections.abc import Callable, Mapping
from typing import Any

from ikeengine.vpn import algorithms
from ikeengine.vpn.model import IkeVersion, Mode, Protocol

from . import declarations
from .declarations import Both, Data, members

Difference = Callable[[random.Random, Both, Data], None]
"""Bends the declaration of one of both ends."""

_ALIASES: Mapping[str | int, tuple[Any, ...]] = {
    "AES-128": ("AES-CBC-128", "aes128", "AES (128-bit)"), "AES-192": ("aes_192", "AES (192-bit)"),
    "AES-256": ("AES-CBC-256", "aes-256", "AES", "AES (256-bit)"), "AES-GCM-128": ("AES128-GCM", "aes-gcm (128-bit)"),
    "AES-GCM-256": ("AES256-GCM", "aesgcm256"), "SHA1": ("SHA-1", "sha1"), "SHA2-256": ("SHA256", "sha2_256", "SHA2"),
    "SHA2-384": ("SHA384",), "SHA2-512": ("sha512", "SHA2 512"), 14: ("14", "modp2048", "Diffie-Hellman Group 14"),
    19: ("ecp256", "group 19"), 21: ("Group 21",), 31: ("curve25519", "x25519"),
    "24h": ("1 day", 86400), "8h": ("28800", "8 hours"), "90m": ("1h30m", 5400), "128000 kB": (128000, "128000kb"),
    "2 GB": (2 * 1024 ** 2, "2048 MB"),
}


def other_names(draw: random.Random, both: Both, end: Data) -> None:
    """Names of gateways, tunnels, transforms and proposals are each end's own."""
    for kind in ("gateways", "tunnels", "transforms", "proposals"):
        _renamed(end, kind, {row["name"]: f"{kind[0]}.{number}" for number, row in enumerate(end[kind])})


def _renamed(end: Data, kind: str, new: Mapping[str, str]) -> None:
    for row in end[kind]:
        row["name"] = new[row["name"]]
    holders = {"gateways": end["tunnels"], "transforms": end["gateways"], "proposals": end["tunnels"]}.get(kind, ())
    for holder in holders:
        if kind == "gateways":
            holder["gateway"] = new[holder["gateway"]]
        else:
            holder[kind] = [new[name] for name in holder[kind]]


def other_words(draw: random.Random, both: Both, end: Data) -> None:
    """Algorithms, durations and amounts have several names."""
    rows = [*end["transforms"], *end["proposals"], *(row["force_key_expiration"] for row in end["proposals"]),
            *(tunnel["pfs"] for tunnel in end["tunnels"])]
    for row in rows:
        for field, value in row.items():
            if field != "name" and isinstance(value, str | int) and value in _ALIASES:
                row[field] = draw.choice(_ALIASES[value])


def other_order(draw: random.Random, both: Both, end: Data) -> None:
    """A common member is found in any order of preference."""
    for holder, kind in [*((row, "transforms") for row in end["gateways"]),
                         *((row, "proposals") for row in end["tunnels"])]:
        draw.shuffle(holder[kind])


def order_of_tunnels_and_routes(draw: random.Random, both: Both, end: Data) -> None:
    draw.shuffle(end["tunnels"])
    for tunnel in end["tunnels"]:
        draw.shuffle(tunnel["routes"])


def more_transforms(draw: random.Random, both: Both, end: Data) -> None:
    """One end has some that the other has not."""
    gateway = end["gateways"][0]
    known = {members(row) for row in end["transforms"]}
    for number in range(2):
        strict = end["policy"] == "strict"
        group = (end["transforms"][0]["key_group"] if declarations.one_group(end)
                 else declarations.group(draw, end, strict).number)
        able = declarations.able(end, declarations.strong(algorithms.ENCRYPTIONS, strict))
        row = {"authentication": "SHA2-512", "encryption": draw.choice(able).name, "key_group": group}
        if members(row) not in known:
            known.add(members(row))
            end["transforms"].append({"name": f"more-{number}", **row})
            gateway["transforms"].insert(draw.randint(0, len(gateway["transforms"])), f"more-{number}")


def more_proposals(draw: random.Random, both: Both, end: Data) -> None:
    for tunnel in end["tunnels"]:
        row = declarations.proposal(draw, end, end["policy"] == "strict", declarations.protocol_of(end, tunnel))
        if members(row) not in {members(other) for other in end["proposals"] if other["name"] in tunnel["proposals"]}:
            end["proposals"].append({"name": f"more-{tunnel['name']}", **row})
            tunnel["proposals"].insert(draw.randint(0, len(tunnel["proposals"])), f"more-{tunnel['name']}")


def case_of_domains(draw: random.Random, both: Both, end: Data) -> None:
    """Domain names compare without case (RFC 4343)."""
    for identifier in _identifiers(end):
        user, at, domain = identifier["value"].rpartition("@")
        identifier["value"] = f"{user}{at}{draw.choice((domain.upper(), domain.title()))}"


def _identifiers(end: Data) -> list[Data]:
    return [place["identifier"] for pair in end["gateways"][0]["endpoints"] for place in pair.values()
            if "identifier" in place and place["identifier"]["type"] != "ip-address"]


def usual_identifiers(draw: random.Random, both: Both, end: Data) -> None:
    """An identifier that is the address need not be written."""
    for place in end["gateways"][0]["endpoints"][0].values():
        if place.get("identifier", {}).get("value") == place["address"]:
            del place["identifier"]


def other_forms_of_selectors(draw: random.Random, both: Both, end: Data) -> None:
    """A host is a network of one, a network is a range."""
    for tunnel in end["tunnels"]:
        for route in tunnel["routes"]:
            for side in ("local", "remote"):
                route[side] = _other_form(draw, route[side])


def _other_form(draw: random.Random, text: str) -> str:
    if "-" in text:
        return text.replace("-", " - ")
    network = ipaddress.ip_network(text)
    return draw.choice((f"{network[0]}-{network[-1]}", f"{network[0].exploded}-{network[-1].exploded}", str(network)))


def other_forms_of_keys(draw: random.Random, both: Both, end: Data) -> None:
    """Hexadecimal digits have no case, and may say what they are."""
    credential = end["gateways"][0]["credential"]
    if credential["method"] == "hex-psk":
        credential["psk"] = draw.choice(("", "0x")) + credential["psk"].upper()


def post_quantum_key(draw: random.Random, both: Both, end: Data) -> None:
    """One that both ends have, required by either or none; or only one end has it, and does not require it."""
    credentials = [(row, gateway["credential"]) for row in both.ends for gateway in row["gateways"]]
    if (any("ppk" in credential for _row, credential in credentials)
            or any(declarations.version_of(row) is IkeVersion.V1 for row in both.ends)):
        return
    key, alone = f"0x{draw.randbytes(32).hex()}", draw.random() < 0.3
    for row, credential in credentials:
        if not alone or row is end:
            credential |= {"ppk": {"id": "qkd-9", "required": not alone and draw.random() < 0.5}, "ppk_key": key}


def own_settings(draw: random.Random, both: Both, end: Data) -> None:
    """What an end does by itself it need not share."""
    gateway = end["gateways"][0]
    gateway["dead_peer_detection"] = {"idle": draw.choice(("10s", "1m")), "retries": draw.randint(2, 9)}
    gateway["nat_traversal"] = {**gateway.get("nat_traversal", {}), "keep_alive": draw.choice((10, "25s"))}
    for tunnel in end["tunnels"]:
        with_ah = declarations.protocol_of(end, tunnel) is Protocol.AH
        tunnel["dataplane"] = draw.choice(("auto", "kernel") if with_ah else ("auto", "kernel", "userspace"))
        if gateway["ike_version"] == 2:
            tunnel["sa_pairs"] = draw.choice(("per-route", "per-tunnel"))
    end["policy"] = "standard"


def in_userspace(draw: random.Random, both: Both, end: Data) -> None:
    """One end's data plane does ESP in UDP only."""
    if declarations.has_ah(both) or not all(map(declarations.nat_traversal_of, both.ends)):
        return
    both.userspace.add(end["gateways"][0]["name"])


def route_inside_another(draw: random.Random, both: Both, end: Data) -> None:
    """The narrower of two nested routes has its traffic."""
    for place, wide, narrow in ((end, "local", "remote"), (both.other(end), "remote", "local")):
        place["tunnels"][0]["routes"] += [{wide: "10.1.250.0/24", narrow: "10.2.250.0/24"},
                                          {wide: "10.1.250.64/26", narrow: "10.2.250.0/24"}]


def second_pair(draw: random.Random, both: Both, end: Data) -> None:
    """Another path between the two, for when the first is dead; each end may be called otherwise there."""
    if any(len(row["gateways"]) != 1 or len(row["gateways"][0]["endpoints"]) != 1 for row in both.ends):
        return
    gateways = [row["gateways"][0] for row in both.ends]
    (left, right) = (gateway["endpoints"][0] for gateway in gateways)
    if both.public or both.addresses or any(left[place]["address"] != right[other]["address"] for place, other in (
            ("local", "remote"), ("remote", "local"))):
        return
    addresses = draw.choice((("192.0.2.254", "198.51.100.254"), ("2001:db8:1::ffff", "2001:db8:2::ffff")))
    with_certificate = any(gateway["credential"]["method"] == "certificate" for gateway in gateways)
    near, far = ({"address": address, "identifier": copy.deepcopy(first.get("identifier")) if with_certificate
                  else declarations.identifier(draw, site, address)}
                 for address, site, first in zip(addresses, ("hq", "branch"), (left["local"], right["local"]),
                                                 strict=True))
    gateways[0]["endpoints"].append({"local": near, "remote": far})
    gateways[1]["endpoints"].append({"local": copy.deepcopy(far), "remote": copy.deepcopy(near)})


def gateway_elsewhere(draw: random.Random, both: Both, end: Data) -> None:
    """A site has other peers, too, that are not among the declarations; two of them could be taken for a pair."""
    if any(len(row["gateways"]) > 1 for row in both.ends):
        return
    gateway = end["gateways"][0]
    pair = gateway["endpoints"][0]
    elsewhere = "203.0.113.77" if ":" not in pair["local"]["address"] else "2001:db8:77::1"
    end["gateways"].insert(draw.randint(0, 1), {
        **gateway, "name": "partner", "credential": declarations.credential(draw), "start": "answer",
        "endpoints": [{"local": pair["local"], "remote": {"address": elsewhere}}]})


def behind_nat(draw: random.Random, both: Both, end: Data) -> None:
    """The right end has a private address, the left one knows it by another."""
    ends = both.right["gateways"][0]["endpoints"][0], both.left["gateways"][0]["endpoints"][0]
    if (":" in ends[0]["local"]["address"] or both.public or declarations.has_ah(both)
            or not declarations.nat_traversal_of(end)):
        return
    both.public = ends[1]["remote"]["address"]
    ends[0]["local"]["address"] = f"172.16.5.{draw.randint(1, 254)}"


def dynamic_address(draw: random.Random, both: Both, end: Data) -> None:
    """One end's address changes: the other knows it by its identifier, and waits for it; it may not know its own."""
    other = both.other(end)
    local, remote = end["gateways"][0]["endpoints"][0]["local"], other["gateways"][0]["endpoints"][0]["remote"]
    if both.public or any(place["identifier"]["type"] == "ip-address" for place in (local, remote)):
        return
    if declarations.version_of(end) is IkeVersion.V1 and any(
            row["gateways"][0]["mode"] != Mode.AGGRESSIVE.value for row in both.ends):
        return
    remote["address"] = "dynamic"
    if draw.random() < 0.5:
        both.addresses["left" if end is both.left else "right"] = local["address"]
        local["address"] = "dynamic"
    if end["gateways"][0]["start"] == "answer":
        end["gateways"][0]["start"] = "boot"


def one_identifier_for_both(draw: random.Random, both: Both, end: Data) -> None:
    """Odd, and no reason for two peers not to agree."""
    for place in both.ends:
        for side in place["gateways"][0]["endpoints"][0].values():
            side["identifier"] = {"type": "domain-name", "value": "vpn.example.net"}


def same_transform_twice(draw: random.Random, both: Both, end: Data) -> None:
    """Two rows of the same algorithms are one."""
    first = end["transforms"][0]
    end["transforms"].append({**first, "name": "again"})
    end["gateways"][0]["transforms"].append("again")


def route_based_tunnel(draw: random.Random, both: Both, end: Data) -> None:
    """A further tunnel is for everything, in a device of its own at each end."""
    declarations.add_route_based(draw, both)


ADDITIONS: tuple[Difference, ...] = (
    route_based_tunnel, same_transform_twice, more_transforms, more_proposals, route_inside_another,
    one_identifier_for_both, behind_nat, dynamic_address)
"""What may stand in the way of a fault that is planted before it."""
WORDINGS: tuple[Difference, ...] = (
    second_pair, post_quantum_key, usual_identifiers, case_of_domains, other_forms_of_keys, own_settings, other_names,
    in_userspace, other_words, other_order, order_of_tunnels_and_routes, other_forms_of_selectors, gateway_elsewhere)
"""What changes the meaning of nothing, in an order in which none hides another."""
_SELDOM = {one_identifier_for_both, behind_nat, route_inside_another, dynamic_address, second_pair}


def some(draw: random.Random, both: Both, differences: tuple[Difference, ...]) -> list[str]:
    """Bend one end or the other by some of them; the names of those that found something to bend."""
    bent = []
    for difference in differences:
        if draw.random() < (0.1 if difference in _SELDOM else 0.25):
            before = copy.deepcopy(both)
            difference(draw, both, draw.choice(both.ends))
            if both != before:
                bent.append(difference.__name__)
    return bent
