# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Both ends of a cell in the words of the language, and what must be agreed on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from tests.interop.certificates import Issued, issue
from tests.interop.matrix.axes import (
    AGGRESSIVE,
    CERTIFICATES,
    ENDS,
    FALLBACK,
    KEEP_ALIVE,
    MAIN,
    NONE,
    PSK,
    SEVERAL,
    V2,
    X500,
    Cell,
)
from tests.interop.site import Lan

Json = dict[str, Any]

TUNNEL = "lan"
KEY, HEX_KEY = "correct horse battery staple 3390", "c0ffee00112233445566778899aabbcc"
PPK_KEY = "0xdecafbad112233445566778899aabbccddeeff00112233445566778899aabbcc"
MODES = {MAIN: "main", AGGRESSIVE: "aggressive", FALLBACK: "main-fallback-aggressive"}


class Place(NamedTuple):
    """Where an end is: its own address, the one behind the NAT, and what the NAT shows of that."""

    address: str
    private: str
    shown: str

    def local(self, behind_nat: bool) -> Json:
        return {"address": self.private, "public_address": self.shown} if behind_nat else {"address": self.address}

    def reached(self, behind_nat: bool) -> str:
        return self.shown if behind_nat else self.address


PLACES = {"near": Place("192.0.2.1", "10.99.1.2", "198.51.100.254"),
          "far": Place("198.51.100.1", "10.99.2.2", "192.0.2.254")}
OTHER = dict(zip(ENDS, reversed(ENDS), strict=True))

ROUTES: dict[str, list[tuple[Lan, Lan]]] = {
    "host": [(Lan("10.1.3.1", "10.1.3.1"), Lan("10.2.3.1", "10.2.3.1"))],
    "network": [(Lan("10.1.0.0/24", "10.1.0.1"), Lan("10.2.0.0/24", "10.2.0.1"))],
    "range": [(Lan("10.1.4.1-10.1.4.9", "10.1.4.1"), Lan("10.2.4.1-10.2.4.9", "10.2.4.1"))],
    "IPv6 network": [(Lan("fd00:1::/64", "fd00:1::1"), Lan("fd00:2::/64", "fd00:2::1"))],
    SEVERAL: [(Lan(f"10.1.{number}.0/24", f"10.1.{number}.1"), Lan(f"10.2.{number}.0/24", f"10.2.{number}.1"))
              for number in range(2)],
}
"""(near, far) of each route."""


@dataclass(frozen=True)
class Declared:
    """One end: its declaration without secrets, the secrets, and the gateway's name in both."""

    data: Json
    secrets: Json
    gateway: str


def declare(cell: Cell, end: str, *, start: str = "answer") -> Declared:
    """The side of ``end``; its gateway is called after the other end."""
    other = OTHER[end]
    credential, secret = _credential(cell, end)
    gateway = {
        "name": other, "ike_version": 2 if cell.mode == V2 else 1, "credential": credential,
        "endpoints": [{"local": {**PLACES[end].local(cell.nat == end), **_identifier(cell, end)},
                       "remote": {"address": PLACES[other].reached(cell.nat == other), **_identifier(cell, other)}}],
        "transforms": ["p1"], "start": start,
        **_mode(cell, end),
        **({"ike_keep_alive": {"enabled": True, "interval": "1s"}, "dead_peer_detection": {"enabled": False}}
           if cell.beyond == KEEP_ALIVE else {}),
    }
    hybrid = {} if cell.beyond in (NONE, KEEP_ALIVE) else {"additional_key_exchange": cell.beyond}
    proposal = {"name": "p2", "protocol": cell.protocol, "encryption": cell.phase2_encryption,
                **({} if cell.phase2_authentication == NONE else {"authentication": cell.phase2_authentication})}
    managed = end == "near" or cell.peer == "ikeengine"
    data = {
        "version": 1, "site": {"name": end, **({} if managed else {"managed": False})},
        "transforms": [{"name": "p1", "encryption": cell.encryption, "authentication": cell.authentication,
                        "key_group": int(cell.group), **hybrid}],
        "proposals": [proposal], "gateways": [gateway],
        "tunnels": [{"name": TUNNEL, "gateway": other, "proposals": ["p2"], "routes": _routes(cell, end),
                     "pfs": _pfs(cell, hybrid), **({"dataplane": cell.dataplane} if managed else {})}],
    }
    return Declared(data, {"version": 1, "gateways": {other: secret}}, other)


def suites(cell: Cell) -> tuple[str, str]:
    """What is agreed on in Phase 1 and Phase 2, in the words of our ``status``."""
    phase2 = [word for word in (cell.phase2_encryption, cell.phase2_authentication) if word != NONE]
    ike = [cell.encryption, cell.authentication, f"group {cell.group}"]
    if cell.beyond not in (NONE, KEEP_ALIVE):
        ike.append(cell.beyond)
    if cell.ppk != NONE:
        ike.append("PPK")
    return "/".join(ike), f"{cell.protocol} {'/'.join(phase2)}"


def _mode(cell: Cell, end: str) -> Json:
    """Whoever falls back does so because the far end has Aggressive Mode alone."""
    mode = AGGRESSIVE if (cell.mode, end) == (FALLBACK, "far") else cell.mode
    return {"mode": MODES[mode]} if mode in MODES else {}


def _routes(cell: Cell, end: str) -> list[Json]:
    return [{"local": here.network, "remote": there.network}
            for here, there in (lans if end == "near" else tuple(reversed(lans)) for lans in ROUTES[cell.route])]


def _pfs(cell: Cell, hybrid: Json) -> Json:
    return {"enabled": False} if cell.pfs == NONE else {"enabled": True, "key_group": int(cell.pfs), **hybrid}


def _identifier(cell: Cell, end: str) -> Json:
    """An address needs no words: it is what peers reach for."""
    values = {"domain-name": f"{end}.example", "domain-information": f"gw@{end}.example",
              X500: rf"CN={end}, O=Example\, Inc."}
    value = values.get(cell.identity)
    return {"identifier": {"type": cell.identity, "value": value}} if value else {}


def _credential(cell: Cell, end: str) -> tuple[Json, Json]:
    """What the declaration has, and what the secrets have."""
    shown, secret = _authenticator(cell, end)
    if cell.ppk != NONE:
        shown, secret = {**shown, "ppk": {"id": "quantum", "required": cell.ppk == "required"}}, {
            **secret, "ppk_key": PPK_KEY}
    return shown, secret


def _authenticator(cell: Cell, end: str) -> tuple[Json, Json]:
    if cell.credential in CERTIFICATES:
        root, own = _issued(cell.credential)["root"], _issued(cell.credential)[end]
        shown = {"method": "certificate", "certificate": own.pem, "ca": [root.pem]}
        return shown, {"method": "certificate", "private_key": own.key_pem}
    method, key = ("psk", KEY) if cell.credential == PSK else ("hex-psk", HEX_KEY)
    return {"method": method}, {"method": method, "psk": key}


@cache
def _issued(kind: str) -> dict[str, Issued]:
    """A root, and what it issued to each end with all that may identify it."""
    root = issue("root", authority=True, kind=kind)
    return {"root": root, **{end: issue(end, root, kind=kind, addresses=(place.address, place.shown))
                             for end, place in PLACES.items()}}
