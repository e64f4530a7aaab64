# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a site's machine can do: appliances by model and firmware, a Linux host's data planes as it says.

Sources: WatchGuard, "About IPSec VPN Negotiations" for the models without SHA-2; the WatchGuard Help Center for
the firmware in which an ability came.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from . import algorithms
from .algorithms import Authentication
from .model import Proposal, Protocol
from .reading import Misfit, nearest, text

_WITHOUT_SHA2 = ("21", "22", "23", "505", "510", "520", "530", "515", "525", "535", "545", "810", "820", "830", "1050",
                 "2050")
_XTM = re.compile(r"(?:watchguard[ _-]*)?(?:firebox[ _-]*)?xtm[ _-]*(?:\d{1,4}[ _-]*series[ _-]*)?"
                  r"(?P<number>\d{1,4})(?P<build>[ _-]*[a-z]{1,3})?", re.ASCII | re.IGNORECASE)
_FIREWARE = re.compile(r"watchguard|firebox|xtm|[tm]\d{2,4}(?![0-9a-z])", re.ASCII | re.IGNORECASE)
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}", re.ASCII)
_FIRMWARE = re.compile(r"v?(\d{1,4}(?:\.\d{1,4}){0,3}(?:[ ._-]\(?(?:u|update|b|build) ?\d{1,6}\)?){0,2})",
                       re.ASCII | re.IGNORECASE)

MODELS_WITHOUT_SHA2 = frozenset(f"XTM {number}" for number in _WITHOUT_SHA2)
"""Their cryptographic acceleration lacks SHA-2, wireless or not; every other model has it."""

SHA2 = "SHA-2"
IKEV2 = "IKEv2"
AES_GCM = "AES-GCM"
IPV6_ENDPOINTS = "IPv6 endpoints"
HEX_PSK = "hex pre-shared keys"
GROUP_21 = "key group 21"

FIRMWARE_SINCE = {SHA2: "11.8", IKEV2: "11.11.2", AES_GCM: "12.2", IPV6_ENDPOINTS: "12.4", HEX_PSK: "12.6",
                  GROUP_21: "12.10"}
"""The Fireware version in which an appliance learned each ability."""

NEWEST_GROUP = algorithms.key_group(21)
"""The key group that GROUP_21 is about."""

FIREWARE_ENCRYPTIONS = tuple(map(algorithms.encryption, (
    "DES", "3DES", "AES-128", "AES-192", "AES-256", "AES-GCM-128", "AES-GCM-192", "AES-GCM-256")))
FIREWARE_KEY_GROUPS = tuple(map(algorithms.key_group, (1, 2, 5, 14, 15, 19, 20, 21)))
"""What Fireware of any version can be set to; it has every authentication algorithm, and no additional key exchange."""


@dataclass(frozen=True, slots=True)
class Abilities:
    """What one data plane of a Linux host can do, as the host said. ``missing`` is what it lacks, in words."""

    available: bool
    missing: tuple[str, ...]
    protocols: frozenset[str]
    encryptions: frozenset[str]
    authentications: frozenset[str]
    directional_routes: bool = True
    interfaces: frozenset[str] = frozenset()

    @property
    def lacking_for_interfaces(self) -> tuple[str, ...]:
        """What keeps it from route-based tunnels, with what the host says."""
        return () if self.interfaces else (self._said_of("virtual interfaces"),)

    @property
    def lacking_for_directions(self) -> tuple[str, ...]:
        """What keeps it from routes that one side only may open, with what the host says."""
        return () if self.directional_routes else (self._said_of("routes with a direction"),)

    def _said_of(self, name: str) -> str:
        return next((words for words in self.missing if words.startswith(f"{name}: ")), name)

    def lacking(self, proposal: Proposal) -> tuple[str, ...]:
        """The protocol and the algorithms that the proposal needs and that are not there, with what the host says."""
        needs = ((proposal.protocol.name, self.protocols),
                 (proposal.encryption and proposal.encryption.name, self.encryptions),
                 (proposal.authentication and proposal.authentication.name, self.authentications))
        return tuple(next((words for words in self.missing if words.startswith(f"{name}: ")), name)
                     for name, able in needs if name and name not in able)


def lacking_of_all(missing: Iterable[str], proposals: Iterable[Proposal]) -> tuple[str, ...]:
    """What a data plane lacks that is not there at all, in words; AH only where a proposal is of that."""
    has_ah = any(row.protocol is Protocol.AH for row in proposals)
    return tuple(words for words in missing if has_ah or words.partition(":")[0] != Protocol.AH.name)


def read_abilities(data: Mapping[str, Mapping[str, Any]]) -> dict[str, Abilities]:
    """The data planes by name, from what ``ikeengine --abilities`` prints under ``dataplanes``."""
    return {name: Abilities(
        bool(plane["available"]), tuple(plane["missing"]), frozenset(plane.get("protocols", ())),
        frozenset(plane.get("encryptions", ())), frozenset(plane.get("authentications", ())),
        bool(plane.get("directional_routes", True)), frozenset(plane.get("interfaces", ())))
        for name, plane in data.items()}


def parse_model(value: object) -> str:
    """``linux``, or an appliance's model in its usual form (``XTM 21-W``, ``Firebox T45``). Raises Misfit."""
    model = text(value)
    if model.lower() == "linux":
        return "linux"
    if match := _XTM.fullmatch(model):
        return f"XTM {match['number']}{(match['build'] or '').upper()}"
    if nearest(model, ("linux",)) or not _MODEL.fullmatch(model):
        raise Misfit("a platform is linux or an appliance's model", "Write linux, or a model such as XTM 505")
    return model


def parse_firmware(value: object) -> str:
    """A version such as ``12.5.3``, ``12.5.7_U3`` or ``12.5.9.B662``, without a ``v`` before it. Raises Misfit."""
    match = _FIRMWARE.fullmatch(str(value).strip()) if isinstance(value, (str, int)) else None
    if match is None:
        raise Misfit("a firmware version is numbers joined by dots", "Write it in quotes, such as '12.5.3'")
    return match[1]


def lacks_sha2(model: str) -> bool:
    """Whether a platform, as ``parse_model`` gives it, is one of MODELS_WITHOUT_SHA2."""
    match = _XTM.fullmatch(model)
    return match is not None and f"XTM {match['number']}" in MODELS_WITHOUT_SHA2


def is_fireware(model: str) -> bool:
    """Whether a platform, as ``parse_model`` gives it, is a WatchGuard appliance (``Firebox T45``, ``M370``)."""
    return _FIREWARE.match(model) is not None


def make(model: str, *, managed: bool) -> str:
    """What a site's gateway is made by: two of the same make understand what no RFC says."""
    if is_fireware(model):
        return "Fireware"
    if model == "linux":
        return "ikeengine" if managed else "something else on Linux"
    return model.partition(" ")[0].upper()


def is_sha2(authentication: Authentication) -> bool:
    return authentication.name.startswith("SHA2-")


def has_ability(firmware: str | None, ability: str) -> bool:
    """Whether that firmware, where it is known, has one of the abilities of FIRMWARE_SINCE."""
    return firmware is None or _numbers(firmware) >= _numbers(FIRMWARE_SINCE[ability])


def _numbers(firmware: str) -> tuple[int, ...]:
    """Updates and builds of a version bring no ability."""
    return tuple(map(int, re.split("[^0-9.]", firmware)[0].rstrip(".").split(".")))


def _check() -> None:
    """Raises ValueError where the data above contradicts itself."""
    if len(MODELS_WITHOUT_SHA2) != 16:
        raise ValueError(f"sixteen models lack SHA-2, not {len(MODELS_WITHOUT_SHA2)}")
    for ability, version in FIRMWARE_SINCE.items():
        if not _FIRMWARE.fullmatch(version):
            raise ValueError(f"{ability} came with no firmware version: {version!r}")


_check()
