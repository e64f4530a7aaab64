# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a table of rules says what breaks each of them, what an operator then reads, and what only nearly breaks it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from ikeengine.vpn import declaration, rules
from ikeengine.vpn.findings import Finding
from ikeengine.vpn.model import Side

KEY = "planted-marker-that-no-output-may-hold"
REMOVED = object()
Bends = Mapping[str, Any]
"""From where to what. ``hq gateways.0.mode`` is a field of the site hq; ``both ...`` of both; ``+`` appends to a list;
``third`` is a whole further site; REMOVED takes away."""

BLOCK = "-----BEGIN {0}-----\nMAA=\n-----END {0}-----\n"
CERTIFICATE = {"method": "certificate", "certificate": BLOCK.format("CERTIFICATE"),
               "private_key": BLOCK.format("PRIVATE KEY"), "ca": [BLOCK.format("CERTIFICATE")]}
IKEV1 = {"both gateways.0.ike_version": 1, "both site.managed": False}
AH = {"both proposals.0.protocol": "AH", "both proposals.0.encryption": "none", "both site.managed": False}


@dataclass(frozen=True)
class Case:
    """``bends`` break the rule ``code`` once more than the plain sites do; each of ``near`` does not."""

    code: str
    bends: Bends
    message: str
    left_path: str
    right_path: str
    near: tuple[Bends, ...]


def site(name: str, peer: str, local: str, remote: str, inside: str, outside: str) -> dict[str, Any]:
    return {
        "site": {"name": name, "platform": "linux"},
        "transforms": [{"name": "p1", "authentication": "SHA2-256", "encryption": "AES-256", "sa_life": "24h",
                        "key_group": 14}],
        "proposals": [{"name": "p2", "protocol": "ESP", "authentication": "SHA2-256", "encryption": "AES-256",
                       "force_key_expiration": {"time": "8h"}}],
        "gateways": [{"name": peer, "ike_version": 2, "credential": {"method": "psk", "psk": KEY},
                      "endpoints": [endpoints(local, f"{name}.example", remote, f"{peer}.example")],
                      "transforms": ["p1"]}],
        "tunnels": [{"name": "lan", "gateway": peer, "proposals": ["p2"],
                     "routes": [{"local": inside, "remote": outside}], "pfs": {"key_group": 14}}],
    }


def endpoints(local: str, own: str, remote: str, peer: str) -> dict[str, Any]:
    """An endpoint pair whose identifiers are domain names."""
    return {"local": {"address": local, "identifier": {"type": "domain-name", "value": own}},
            "remote": {"address": remote, "identifier": {"type": "domain-name", "value": peer}}}


def gateway(name: str, **fields: Any) -> dict[str, Any]:
    """A second gateway of hq's, to a peer that is not declared."""
    return {"name": name, "credential": {"method": "psk", "psk": KEY}, "transforms": ["p1"],
            "endpoints": [endpoints("192.0.2.1", "hq.example", "203.0.113.1", f"{name}.example")], **fields}


def dynamic(name: str, **fields: Any) -> dict[str, Any]:
    """A gateway of hq's whose remote end is dynamic."""
    return gateway(name, endpoints=[endpoints("192.0.2.1", "hq.example", "dynamic", f"{name}.example")], **fields)


def found(bends: Bends) -> tuple[Finding, ...]:
    """What validation finds in the plain sites, bent."""
    return rules.validate(read(bends)).findings


def found_after_clean_ones(bends: Bends) -> tuple[Finding, ...]:
    """The same after two more sites that are plain, and whose settings are the same objects as in a fleet."""
    clean = [declaration.read(site("east", "west", "192.0.2.101", "198.51.100.101", "10.101.0.0/24", "10.102.0.0/24")),
             declaration.read(site("west", "east", "198.51.100.101", "192.0.2.101", "10.102.0.0/24", "10.101.0.0/24"))]
    clean[1] = _sharing(clean[1], clean[0])
    return rules.validate([*clean, *(_sharing(side, clean[0]) for side in read(bends))]).findings


def _sharing(value: Any, other: Any) -> Any:
    """The same value, with the other's objects wherever they are equal."""
    if value == other and type(value) is type(other):
        return other
    if isinstance(value, tuple) and isinstance(other, tuple):
        return tuple(_sharing(mine, its) for mine, its in zip(value, other, strict=False)) + value[len(other):]
    if is_dataclass(value) and type(value) is type(other):
        return replace(value, **{part.name: _sharing(getattr(value, part.name), getattr(other, part.name))
                                 for part in fields(value) if part.init})
    return value


def read(bends: Bends) -> list[Side]:
    """The plain sites, bent."""
    sites = {"hq": site("hq", "branch", "192.0.2.1", "198.51.100.1", "10.1.0.0/24", "10.2.0.0/24"),
             "branch": site("branch", "hq", "198.51.100.1", "192.0.2.1", "10.2.0.0/24", "10.1.0.0/24")}
    for place, value in bends.items():
        name, _space, path = place.partition(" ")
        if not path:
            _set(sites, [name], value)
            continue
        for data in (list(sites.values()) if name == "both" else [sites[name]]):
            _set(data, path.split("."), value)
    return [declaration.read(data) for data in sites.values()]


def _set(data: Any, path: list[str], value: Any) -> None:
    *way, last = path
    for step in way:
        data = data[int(step)] if isinstance(data, list) else data.setdefault(step, {})
    if last == "+":
        data.append(copy.deepcopy(value))
    elif value is REMOVED:
        del data[int(last) if isinstance(data, list) else last]
    else:
        data[int(last) if isinstance(data, list) else last] = copy.deepcopy(value)
