# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cell of the matrix may be set to, and what does not go together.

The algorithms and kinds are those of the language: what it gains is in the matrix from then on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ansible_collections.tandem.vpn.plugins.module_utils.vpn import algorithms
from ansible_collections.tandem.vpn.plugins.module_utils.vpn.algorithms import Use
from ansible_collections.tandem.vpn.plugins.module_utils.vpn.model import IdentityKind, Protocol

NONE = "none"
"""No PFS, no NAT, no rekey, no algorithm."""

OFF, ON = "off", "on"


@dataclass(frozen=True, slots=True)
class Cell:
    """One value of each axis. ``near`` is always ikeengine, ``far`` the peer."""

    mode: str
    initiator: str
    credential: str
    ppk: str
    identity: str
    encryption: str
    authentication: str
    group: str
    pfs: str
    protocol: str
    phase2_encryption: str
    phase2_authentication: str
    esn: str
    route: str
    dataplane: str
    nat: str
    fragmentation: str
    rekey: str
    beyond: str

    @property
    def peer(self) -> str:
        """What strongSwan has not runs between two of ours."""
        return "strongSwan" if self.beyond == NONE else "ikeengine"

    @property
    def values(self) -> dict[str, str]:
        return asdict(self)

    def __str__(self) -> str:
        return ", ".join(f"{TITLES[axis]}: {value}" for axis, value in self.values.items())


TITLES = {
    "mode": "IKE", "initiator": "Initiator", "credential": "Credential", "ppk": "Post-quantum key beside it",
    "identity": "Identity", "encryption": "Phase 1 encryption", "authentication": "Phase 1 authentication",
    "group": "Key group", "pfs": "PFS", "protocol": "Phase 2 protocol", "phase2_encryption": "Phase 2 encryption",
    "phase2_authentication": "Phase 2 authentication", "esn": "Extended sequence numbers", "route": "Tunnel route",
    "dataplane": "Data plane", "nat": "NAT before",
    "fragmentation": "Fragmentation", "rekey": "Rekeyed", "beyond": "Beyond strongSwan",
}
"""The axes as the documentation calls them."""

V2, MAIN, AGGRESSIVE, FALLBACK = "IKEv2", "IKEv1 Main", "IKEv1 Aggressive", "IKEv1 Main fallback to Aggressive"
PSK, HEX_PSK = "PSK", "hex PSK"
CERTIFICATES = ("RSA", "ECDSA", "Ed25519")
X500 = "x500-name"
KEEP_ALIVE = "IKE keep-alive"
SEVERAL = "two networks"
ENDS = ("near", "far")
KERNEL, USERSPACE = "kernel", "userspace"

_ENCRYPTIONS = tuple(row.name for row in algorithms.ENCRYPTIONS)
_AUTHENTICATIONS = tuple(row.name for row in algorithms.AUTHENTICATIONS)
_GROUPS = tuple(str(row.number) for row in algorithms.KEY_GROUPS)

AXES: Mapping[str, Sequence[str]] = {
    "mode": (V2, MAIN, AGGRESSIVE, FALLBACK),
    "initiator": ENDS,
    "credential": (PSK, HEX_PSK, *CERTIFICATES),
    "ppk": (NONE, "required", "optional"),
    "identity": tuple(row.value for row in IdentityKind),
    "encryption": _ENCRYPTIONS,
    "authentication": _AUTHENTICATIONS,
    "group": _GROUPS,
    "pfs": (NONE, *_GROUPS),
    "protocol": tuple(row.name for row in reversed(Protocol)),
    "phase2_encryption": (*_ENCRYPTIONS, NONE),
    "phase2_authentication": (*_AUTHENTICATIONS, NONE),
    "esn": (OFF, ON),
    "route": ("host", "network", "range", "IPv6 network", SEVERAL),
    "dataplane": (USERSPACE, KERNEL),
    "nat": (NONE, *ENDS),
    "fragmentation": (OFF, ON),
    "rekey": (NONE, *(f"{what}, {end}" for what in ("child", "IKE", "both") for end in ENDS)),
    "beyond": (NONE, *(row.name for row in algorithms.KEY_ENCAPSULATIONS), KEEP_ALIVE),
}


@dataclass(frozen=True, slots=True)
class Rule:
    """What of some axes goes together. ``why`` is a sentence for the documentation."""

    axes: tuple[str, ...]
    holds: Callable[..., bool]
    why: str

    def allows(self, values: Mapping[str, Any]) -> bool:
        return self.holds(*(values[axis] for axis in self.axes))


def _aead(encryption: str) -> bool:
    return encryption != NONE and algorithms.encryption(encryption).aead


def _group_of(mode: str, group: str) -> bool:
    return mode == V2 or group == NONE or Use.IKEV1 in algorithms.key_group(group).uses


def _pfs_shows(mode: str, pfs: str, route: str, rekey: str) -> bool:
    return pfs == NONE or mode != V2 or route == SEVERAL or rekey.startswith(("child", "both"))


def _phase2_of(mode: str, encryption: str) -> bool:
    return mode == V2 or encryption == NONE or algorithms.encryption(encryption).ipsec_doi_id is not None


RULES: Sequence[Rule] = (
    Rule(("mode", "encryption"), lambda mode, encryption: mode == V2 or not _aead(encryption),
         "IKEv1 has no authenticated encryption in Phase 1"),
    Rule(("mode", "group"), _group_of, "IKEv1 has no groups 31 and 32 in Phase 1"),
    Rule(("mode", "pfs"), _group_of, "IKEv1 has no groups 31 and 32 for PFS"),
    Rule(("mode", "phase2_encryption"), _phase2_of, "IKEv1 has no number for ChaCha20-Poly1305 in Phase 2"),
    Rule(("mode", "credential"), lambda mode, credential: mode == V2 or credential != "Ed25519",
         "IKEv1 has no Ed25519"),
    Rule(("mode", "ppk"), lambda mode, ppk: mode == V2 or ppk == NONE, "a post-quantum pre-shared key is IKEv2's"),
    Rule(("protocol", "phase2_encryption"), lambda protocol, encryption: (protocol == "AH") == (encryption == NONE),
         "ESP encrypts, AH does not"),
    Rule(("phase2_encryption", "phase2_authentication"),
         lambda encryption, authentication: _aead(encryption) == (authentication == NONE),
         "AES-GCM and ChaCha20-Poly1305 stand without an authentication, everything else with one"),
    Rule(("protocol", "dataplane"), lambda protocol, plane: protocol == "ESP" or plane == KERNEL,
         "AH is the kernel's alone"),
    Rule(("protocol", "nat"), lambda protocol, nat: protocol == "ESP" or nat == NONE, "AH passes no NAT"),
    Rule(("mode", "pfs", "route", "rekey"), _pfs_shows,
         "in IKEv2 PFS shows from the second SA pair on: where there are two, or a child is rekeyed"),
    Rule(("beyond", "dataplane", "esn"), lambda beyond, plane, esn: beyond != NONE or plane == KERNEL or esn == OFF,
         "strongSwan has extended sequence numbers in the kernel alone"),
    Rule(("mode", "esn"), lambda mode, esn: mode == V2 or esn == OFF,
         "extended sequence numbers are negotiated by IKEv2"),
    Rule(("beyond", "mode", "esn"), lambda beyond, mode, esn: beyond == NONE or (esn == ON) == (mode == V2),
         "two of ours take extended sequence numbers wherever they can"),
    Rule(("beyond", "fragmentation"), lambda beyond, fragmentation: beyond == NONE or fragmentation == ON,
         "two of ours may always fragment"),
    Rule(("initiator", "nat"), lambda initiator, nat: nat in (NONE, initiator),
         "who is behind a NAT is not reached from outside, so it initiates"),
    Rule(("mode", "beyond"),
         lambda mode, beyond: beyond == NONE or (mode == V2) == (beyond != KEEP_ALIVE),
         "a second key exchange is IKEv2's, IKE keep-alive IKEv1's"),
)
