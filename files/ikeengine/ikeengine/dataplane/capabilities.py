# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a data plane can do on this host, learnt by trying."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..vpn.algorithms import Authentication, Encryption
from ..vpn.model import Proposal, Protocol

#: How ``missing`` begins where routes cannot have a direction.
DIRECTIONS = "routes with a direction"
DEVICES = "virtual interfaces"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """``missing`` says in words what is not there, with the reason after a colon where there is one to give; it may
    name one protocol or algorithm while the rest can serve. ``devices`` are the kinds that route-based tunnels can
    have, the best first."""

    available: bool
    missing: tuple[str, ...]
    protocols: frozenset[Protocol]
    encryptions: frozenset[Encryption]
    authentications: frozenset[Authentication]
    extended_sequence_numbers: bool
    udp_encapsulation: bool
    directional_routes: bool = True
    devices: tuple[str, ...] = ()

    def lacks_device(self) -> tuple[str, ...]:
        """What a route-based tunnel needs and the data plane has not, in words."""
        return () if self.devices else (self._said_of(DEVICES),)

    def lacks_directions(self) -> tuple[str, ...]:
        """What routes with a direction need and the data plane has not, in words."""
        return () if self.directional_routes else (self._said_of(DIRECTIONS),)

    def _said_of(self, name: str) -> str:
        return next((words for words in self.missing if words.startswith(f"{name}: ")), name)

    def lacks_for(self, proposal: Proposal) -> tuple[str, ...]:
        """What this proposal needs and the data plane has not, in words."""
        lacking = []
        if proposal.protocol not in self.protocols:
            name = proposal.protocol.name
            lacking.append(next((words for words in self.missing if words.startswith(f"{name}: ")), name))
        if proposal.encryption is not None and proposal.encryption not in self.encryptions:
            lacking.append(proposal.encryption.name)
        if proposal.authentication is not None and proposal.authentication not in self.authentications:
            lacking.append(proposal.authentication.name)
        return tuple(lacking)

    def with_netfilter(self, directions: bool, missing: tuple[str, ...]) -> Capabilities:
        """What nf_tables can do for inner packets belongs to the data plane that has them."""
        return replace(self, directional_routes=directions, missing=self.missing + missing)
