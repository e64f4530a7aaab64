# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes one thing, anywhere in a declared value, to one of the many other values that it could have."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from ipaddress import ip_address
from typing import Any

from ikeengine.vpn import algorithms
from ikeengine.vpn.model import (
    Credential,
    DeadPeerDetection,
    Expiration,
    Gateway,
    Identity,
    IdentityKind,
    KeepAlive,
    Mode,
    Platform,
    Ppk,
    Secret,
    Transform,
    Tunnel,
    VirtualInterface,
)
from ikeengine.vpn.selectors import Selector

_ALGORITHMS = {kind: tuple(rows) for kind, rows in (
    (algorithms.Encryption, algorithms.ENCRYPTIONS), (algorithms.Authentication, algorithms.AUTHENTICATIONS),
    (algorithms.KeyGroup, algorithms.KEY_GROUPS), (algorithms.KeyEncapsulation, algorithms.KEY_ENCAPSULATIONS))}
_ADDRESSES = tuple(map(ip_address, ("198.18.0.0", "198.18.0.1", "10.0.0.9", "192.168.3.3", "203.0.113.9",
                                    "2001:db8::9", "fd00::1")))
_SELECTORS = tuple(map(Selector.parse, (
    "10.0.0.0/24", "10.0.0.0/25", "10.0.1.0/24", "10.0.2.0/23", "0.0.0.0/0", "198.18.0.0/24", "10.0.0.3-10.0.0.200",
    "10.9.0.0/16", "2001:db8:1::/48", "::/0", "10.0.1.7")))
_SECRETS = tuple(map(Secret, (
    b"short", b" surrounded by space, and long enough ", "na\u00efve, but as long as it should be".encode(),
    b"\x01\x02\x03\x04\x05\x06\x07\x08", b"another key that is as long as it should be")))
_IDENTITIES = tuple(Identity(kind, value) for kind, value in (
    (IdentityKind.DOMAIN_NAME, "a.example"), (IdentityKind.DOMAIN_NAME, "A.Example"),
    (IdentityKind.DOMAIN_INFORMATION, "a@example.com"), (IdentityKind.X500_NAME, "CN=a, O=Example"),
    (IdentityKind.IP_ADDRESS, "10.0.0.9"), (IdentityKind.IP_ADDRESS, "198.18.0.1")))
_INTEGERS = (1, 5, 20, 60, 3600, 86400, 10 ** 6)
_ABSENT: dict[tuple[type, str], Callable[[random.Random], Any]] = {
    (Gateway, "mode"): lambda draw: draw.choice(list(Mode)),
    (Gateway, "dead_peer_detection"): lambda draw: DeadPeerDetection(draw.choice(_INTEGERS), draw.choice(_INTEGERS)),
    (Gateway, "keep_alive"): lambda draw: KeepAlive(draw.choice(_INTEGERS), draw.choice(_INTEGERS)),
    (Tunnel, "pfs"): lambda draw: draw.choice(algorithms.KEY_GROUPS),
    (Tunnel, "interface"): lambda draw: VirtualInterface(draw.choice(("ike0", "ike1")), ("169.254.0.1/30",)),
    (Tunnel, "additional_key_exchange"): lambda draw: draw.choice(algorithms.KEY_ENCAPSULATIONS),
    (Transform, "additional_key_exchange"): lambda draw: draw.choice(algorithms.KEY_ENCAPSULATIONS),
    (Expiration, "seconds"): lambda draw: draw.choice(_INTEGERS),
    (Expiration, "kilobytes"): lambda draw: draw.choice(_INTEGERS),
    (Credential, "certificate"): lambda draw: "a certificate",
    (Credential, "secret"): lambda draw: draw.choice(_SECRETS),
    (Credential, "ppk"): lambda draw: Ppk(draw.choice(_PPK_IDS), draw.random() < 0.5, draw.choice(_SECRETS)),
    (Ppk, "secret"): lambda draw: draw.choice(_SECRETS),
    (Platform, "firmware"): lambda draw: draw.choice(("11.10", "12.1", "12.11.3")),
}
"""What stands in a field where nothing does."""
_PPK_IDS = ("ppk-1", "ppk-2")
_TEXTS: dict[tuple[type, str], tuple[str, ...]] = {
    (Platform, "model"): ("XTM 510", "T40", "M270", "strongSwan", "linux"),
    (Platform, "firmware"): ("11.10", "12.1", "12.11.3"),
    (VirtualInterface, "name"): ("ike0", "ike1"),
    (Ppk, "id"): _PPK_IDS,
}
_NAMES = {"name", "gateway"}
"""What says only which is which; whether it is well said is for reading to find."""


def vary(value: Any, draw: random.Random) -> Any:
    """The value with one thing changed, or the same where there is nothing to change it to."""
    if isinstance(value, tuple(_ALGORITHMS)):
        return draw.choice(_ALGORITHMS[type(value)])
    if isinstance(value, Selector):
        return draw.choice(_SELECTORS)
    if isinstance(value, Identity):
        return draw.choice(_IDENTITIES)
    if isinstance(value, Secret):
        return draw.choice(_SECRETS)
    if isinstance(value, Enum):
        return draw.choice(list(type(value)))
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return draw.choice(_INTEGERS)
    if isinstance(value, tuple):
        return _vary_list(value, draw)
    if is_dataclass(value):
        return _vary_field(value, draw)
    return value


def _vary_list(elements: tuple[Any, ...], draw: random.Random) -> tuple[Any, ...]:
    if not elements:
        return elements
    place = draw.randrange(len(elements))
    varied = vary(elements[place], draw)
    change = draw.randrange(6)
    if change == 0:
        return (*elements, varied)
    if change == 1:
        return (varied, *elements)
    if change == 2:
        return (*elements, elements[place])
    if change == 3 and len(elements) > 1:
        return (*elements[:place], *elements[place + 1:])
    return (*elements[:place], varied, *elements[place + 1:])


def _vary_field(value: Any, draw: random.Random) -> Any:
    names = [field.name for field in fields(value) if field.init and field.name not in _NAMES]
    name = draw.choice(names)
    kind, old = type(value), getattr(value, name)
    if name in {"address", "public_address"}:
        return replace(value, **{name: draw.choice((None, *_ADDRESSES))})
    if name in {"ca", "chain", "crl"}:
        return replace(value, **{name: () if old else ("a certificate",)})
    if (kind, name) in _ABSENT and (old is None or draw.random() < 0.3):
        return replace(value, **{name: _ABSENT[kind, name](draw) if old is None else None})
    if (kind, name) in _TEXTS:
        return replace(value, **{name: draw.choice(_TEXTS[kind, name])})
    return replace(value, **{name: vary(old, draw)})
