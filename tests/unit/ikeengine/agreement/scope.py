# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the comparison of validation and reality leaves out: where the two differ, and what is not spoken yet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ikeengine.vpn import algorithms
from ikeengine.vpn.hardware import IKEENGINE
from ikeengine.vpn.model import CredentialMethod, Direction, IdentityKind, IkeVersion, Protocol

from .declarations import Data

TOO_STRICT: Mapping[str, str] = {
    "another sa life": "IKEv2 negotiates no lifetimes (RFC 7296 §2.8), and IKEv1 takes the shorter one",
    "another key expiration": "IKEv2 negotiates no lifetimes (RFC 7296 §2.8), and IKEv1 takes the shorter one",
    "nat traversal at one end": "the two agree to do without, and nothing is amiss where no NAT lies between",
    "keep alive at one end": "one of ours asks only a peer that shows that it answers",
    "text and its octets in hexadecimal": "both ends hold the same octets; the next edit of either key parts them",
    "sites of one name": "a site's name never leaves it; findings could not tell the two apart",
    "two peers of one identifier": "peers at different static addresses are told apart by these, too; one that moves "
                                   "is not",
    "routes dealt out otherwise": "IKE knows one SA for each route and no tunnels; what a tunnel's routes have in "
                                  "common is compared tunnel by tunnel",
}
"""Faults that validation calls errors and the wire cannot show, each with the reason."""

TOO_MILD: Mapping[str, str] = {
    "neither end knows of the other": "nothing says that the two are meant for each other: both draw the warning that "
                                      "their far end is declared nowhere",
}
"""Faults that validation calls no errors though nothing comes up, each with the reason."""


BETWEEN_TWO_MAKES = frozenset({"keep-alive-between-makes"})
"""What cannot be broken where both ends are ours."""


@dataclass(frozen=True)
class LeftOut:
    """A part of the language that the daemon does not speak yet. ``ask`` makes the declaration of one end ask for it;
    ``codes`` are those of the rules between two ends that nothing else breaks."""

    ask: Callable[[Data], None]
    codes: frozenset[str] = frozenset()


def _tunnel(field: str, value: object) -> Callable[[Data], None]:
    return lambda end: end["tunnels"][0].update({field: value})


def _route(field: str, value: object) -> Callable[[Data], None]:
    return lambda end: end["tunnels"][0]["routes"][0].update({field: value})


def _second_pair(end: Data) -> None:
    end["gateways"][0]["endpoints"].append({"local": {"address": "192.0.2.200"}, "remote": {"address": "192.0.2.201"}})


LEFT_OUT: Mapping[str, LeftOut] = {
    "several endpoint pairs": LeftOut(_second_pair, frozenset({"endpoint-pairs-differ", "endpoint-order-differs"})),
    **{f"direction {direction.value}": LeftOut(_route("direction", direction.value), frozenset({
        "route-direction-does-not-mirror"})) for direction in Direction if direction is not Direction.BOTH},
    "virtual interface": LeftOut(_tunnel("interface", {"name": "vpn0"}), frozenset({"tunnel-kind-differs"})),
}
"""Each is refused at a site of ikeengine by a rule whose code ends in ``not-negotiated-yet``."""

NOT_IN_THE_ENGINES_TABLE = {
    "virtual interface",
    *(f"direction {direction.value}" for direction in Direction if direction is not Direction.BOTH)}
"""What the rules refuse without asking `hardware.IKEENGINE`."""


def unspoken() -> set[str]:
    """What the language has and `hardware.IKEENGINE` has not."""
    engine = IKEENGINE
    missing: dict[str, list[object]] = {
        "IKE version": [row.value for row in IkeVersion if row not in engine.versions],
        "credential": [row.value for row in CredentialMethod if row not in engine.methods],
        "identifier": [row.value for row in IdentityKind if row not in engine.identities],
        "encryption": [row.name for row in algorithms.ENCRYPTIONS if row not in engine.encryptions],
        "authentication": [row.name for row in algorithms.AUTHENTICATIONS if row not in engine.authentications],
        "key group": [row.number for row in algorithms.KEY_GROUPS if row not in engine.key_groups],
        "additional key exchange": [row.name for row in algorithms.KEY_ENCAPSULATIONS
                                    if row not in engine.key_encapsulations],
        "protocol": [row.name for row in Protocol if row not in engine.protocols],
    }
    return ({f"{field} {value}" for field, values in missing.items() for value in values}
            | ({"several endpoint pairs"} if engine.endpoint_pairs == 1 else set()))
