# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules on one tunnel: what Phase 2 may hold at one end."""

from __future__ import annotations

from collections.abc import Iterator

from ..algorithms import Strength
from ..model import Gateway, Protocol, Side, Tunnel
from ..selectors import Selector
from .book import ERROR, OWN, PHASE2, SEED, TUNNEL, WARNING, Broken
from .settings import GatewaySettings, SiteSettings, TunnelSettings

MOST_PROPOSALS = 8
"""Of one tunnel (Fireware)."""


@PHASE2.rule("phase2-too-many-proposals", ERROR, "WatchGuard Help Center", member="proposals")
def too_many_proposals(side: SiteSettings, gateway: GatewaySettings, tunnel: TunnelSettings) -> Iterator[Broken]:
    """A tunnel has at most eight Phase 2 proposals."""
    if len(tunnel.proposals) > MOST_PROPOSALS:
        yield Broken("phase 2 proposals", f"there are {len(tunnel.proposals)}", "",
                     f"a tunnel has at most {MOST_PROPOSALS}",
                     f"Remove {len(tunnel.proposals) - MOST_PROPOSALS} from tunnels[{tunnel.name}].proposals")


@PHASE2.rule("phase2-aead-with-authentication", ERROR, "RFC 4106 §8.3", member="proposals")
def aead_with_authentication(side: SiteSettings, gateway: GatewaySettings, tunnel: TunnelSettings) -> Iterator[Broken]:
    """AES-GCM in Phase 2 has no authentication algorithm beside it."""
    for proposal in tunnel.proposals:
        if proposal.encryption and proposal.encryption.aead and proposal.authentication:
            yield Broken("phase 2 authentication",
                         f"proposal {proposal.name} has {proposal.encryption.name} and {proposal.authentication.name}",
                         "", f"{proposal.encryption.name} authenticates by itself",
                         f"Remove proposals[{proposal.name}].authentication")


@PHASE2.rule("phase2-ah-with-encryption", ERROR, f"{SEED}; RFC 4302", member="proposals")
def ah_with_encryption(side: SiteSettings, gateway: GatewaySettings, tunnel: TunnelSettings) -> Iterator[Broken]:
    """AH does not encrypt."""
    for proposal in tunnel.proposals:
        if proposal.protocol is Protocol.AH and proposal.encryption:
            yield Broken("phase 2 encryption", f"proposal {proposal.name} has {proposal.encryption.name} with AH", "",
                         "AH authenticates without encrypting",
                         f"Set proposals[{proposal.name}].protocol to ESP, or remove its encryption")


@PHASE2.rule("phase2-without-authentication", ERROR, "RFC 8221 §4; RFC 4302", member="proposals")
def without_authentication(side: SiteSettings, gateway: GatewaySettings, tunnel: TunnelSettings) -> Iterator[Broken]:
    """Every Phase 2 proposal authenticates."""
    for proposal in tunnel.proposals:
        if proposal.authentication is None and not (proposal.encryption and proposal.encryption.aead):
            yield Broken("phase 2 authentication", f"proposal {proposal.name} has none", "",
                         "without it an attacker can alter the traffic",
                         f"Set proposals[{proposal.name}].authentication to SHA2-256")


@PHASE2.rule("phase2-esp-without-encryption", ERROR, OWN, member="proposals")
def esp_without_encryption(side: SiteSettings, gateway: GatewaySettings, tunnel: TunnelSettings) -> Iterator[Broken]:
    """ESP encrypts."""
    for proposal in tunnel.proposals:
        if proposal.protocol is Protocol.ESP and proposal.encryption is None:
            yield Broken("phase 2 encryption", f"proposal {proposal.name} has none", "", "ESP without it hides nothing",
                         f"Set proposals[{proposal.name}].encryption to AES-256")


@PHASE2.rule("phase2-mixed-protocols", ERROR, SEED, member="proposals")
def mixed_protocols(side: SiteSettings, gateway: GatewaySettings, tunnel: TunnelSettings) -> Iterator[Broken]:
    """A tunnel has ESP or AH, never both."""
    names = ", ".join(proposal.name for proposal in tunnel.proposals)
    if len({proposal.protocol for proposal in tunnel.proposals}) > 1:
        yield Broken("phase 2 protocol", f"the proposals {names} have ESP and AH", "", "one tunnel has one of them",
                     f"Keep the ESP proposals in tunnels[{tunnel.name}].proposals")


@TUNNEL.rule("route-mixed-families", ERROR, "RFC 7296 §2.9", member="routes")
def route_mixed_families(side: Side, gateway: Gateway, tunnel: Tunnel) -> Iterator[Broken]:
    """Both sides of a tunnel route are IPv4, or both IPv6."""
    for index, route in enumerate(tunnel.routes):
        if route.local.version != route.remote.version:
            yield Broken("tunnel route", f"local is {route.local}", f"remote is {route.remote}",
                         "they are of different address families",
                         f"Set tunnels[{tunnel.name}].routes[{index}] to two of one family")


@TUNNEL.rule("route-sides-overlap", ERROR, OWN, member="routes")
def route_sides_overlap(side: Side, gateway: Gateway, tunnel: Tunnel) -> Iterator[Broken]:
    """The two sides of a tunnel route have no address in common, unless one is everything (0.0.0.0/0, ::/0)."""
    for index, route in enumerate(tunnel.routes):
        common = route.local.intersection(route.remote)
        if common is not None and not (route.local.is_everything or route.remote.is_everything):
            yield Broken("tunnel route", f"local is {route.local}", f"remote is {route.remote}",
                         f"both contain {common}, so its traffic has no one way",
                         f"Make the two of tunnels[{tunnel.name}].routes[{index}] disjoint")


@TUNNEL.rule("route-contains-endpoints", ERROR, OWN, member="routes")
def route_contains_endpoints(side: Side, gateway: Gateway, tunnel: Tunnel) -> Iterator[Broken]:
    """No tunnel route contains both of its gateway's own endpoints."""
    for pair in gateway.endpoints:
        if pair.local.address is None or pair.remote.address is None:
            continue
        local = Selector(pair.local.address, pair.local.address)
        remote = Selector(pair.remote.address, pair.remote.address)
        for index, route in enumerate(tunnel.routes):
            if route.local.contains(local) and route.remote.contains(remote):
                yield Broken("tunnel route", f"{route.local} contains {local}", f"{route.remote} contains {remote}",
                             "the tunnel's own packets would go into the tunnel",
                             f"Leave the endpoints out of tunnels[{tunnel.name}].routes[{index}]")


@PHASE2.rule("phase2-weak", WARNING, "RFC 8221; RFC 9395", member="proposals")
def weak_phase2(side: SiteSettings, gateway: GatewaySettings, tunnel: TunnelSettings) -> Iterator[Broken]:
    """MD5, DES, 3DES and PFS with groups 1, 2 and 5 are weak."""
    for proposal in tunnel.proposals:
        weak = [row.name for row in (proposal.encryption, proposal.authentication)
                if row is not None and row.strength is Strength.WEAK]
        if weak:
            yield Broken("phase 2 proposal", f"proposal {proposal.name} has {', '.join(weak)}", "",
                         "that is weak today", "Choose AES-256 and SHA2-256, or AES-GCM-256, at both ends")
    if tunnel.pfs and tunnel.pfs.strength is Strength.WEAK:
        yield Broken("PFS", f"it has group {tunnel.pfs.number}", "", "that is weak today",
                     f"Set tunnels[{tunnel.name}].pfs.key_group to 14 or better at both ends")


@PHASE2.rule("pfs-off", WARNING, SEED, member="pfs.enabled")
def pfs_off(side: SiteSettings, gateway: GatewaySettings, tunnel: TunnelSettings) -> Iterator[Broken]:
    """Perfect Forward Secrecy is on."""
    if tunnel.pfs is None:
        yield Broken("PFS", "it is off", "", "who learns phase 1's keys can then read this tunnel's traffic",
                     f"Set tunnels[{tunnel.name}].pfs.enabled to true at both ends")
