# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules on one tunnel: what Phase 2 may hold at one end."""

from __future__ import annotations

from collections.abc import Iterator

from .. import hardware
from ..algorithms import Use
from ..model import DataPlaneChoice, Gateway, IkeVersion, Protocol, SaPairs, Side, Tunnel
from ..selectors import Address, Selector
from . import nat
from .book import ERROR, FIREWARE, OWN, PHASE2, SEED, TO_IKEV2, TUNNEL, WARNING, Broken
from .settings import GatewaySettings, SiteSettings, TunnelSettings

MOST_PROPOSALS = 8
"""Of one tunnel (Fireware)."""
LONGEST_INTERFACE_NAME = 15
"""Characters on Linux (IFNAMSIZ with its final zero)."""
_NO_INTERFACE_NAMES = (".", "..", "all", "default", "lo", "ike0", "iketest0", "iketest1")
_NO_INTERFACES = f"{', '.join(_NO_INTERFACE_NAMES[:-1])} or {_NO_INTERFACE_NAMES[-1]}"
MOST_POLICIES = 64
"""Of one tunnel route in one direction: above, a range draws a warning."""


@PHASE2.rule("phase2-too-many-proposals", ERROR, FIREWARE, member="proposals")
def too_many_proposals(side: SiteSettings, gateway: GatewaySettings, tunnel: TunnelSettings) -> Iterator[Broken]:
    """A tunnel has at most eight Phase 2 proposals."""
    if len(tunnel.proposals) > MOST_PROPOSALS:
        yield Broken("phase 2 proposals", f"there are {len(tunnel.proposals)}", "",
                     f"a tunnel has at most {MOST_PROPOSALS}",
                     f"Remove {len(tunnel.proposals) - MOST_PROPOSALS} from tunnels[{tunnel.name}].proposals",
                     f"tunnels[{tunnel.name}].proposals")


@PHASE2.rule("phase2-aead-with-authentication", ERROR, "RFC 4106 §8.3; RFC 7634", member="proposals")
def aead_with_authentication(side: SiteSettings, gateway: GatewaySettings, tunnel: TunnelSettings) -> Iterator[Broken]:
    """AES-GCM and ChaCha20-Poly1305 in Phase 2 have no authentication algorithm beside them."""
    for proposal in tunnel.proposals:
        if proposal.encryption and proposal.encryption.aead and proposal.authentication:
            yield Broken("phase 2 authentication",
                         f"proposal {proposal.name} has {proposal.encryption.name} and {proposal.authentication.name}",
                         "", f"{proposal.encryption.name} authenticates by itself",
                         f"Remove proposals[{proposal.name}].authentication",
                         f"proposals[{proposal.name}].authentication")


@PHASE2.rule("phase2-ah-with-encryption", ERROR, f"{SEED}; RFC 4302", member="proposals")
def ah_with_encryption(side: SiteSettings, gateway: GatewaySettings, tunnel: TunnelSettings) -> Iterator[Broken]:
    """AH does not encrypt."""
    for proposal in tunnel.proposals:
        if proposal.protocol is Protocol.AH and proposal.encryption:
            yield Broken("phase 2 encryption", f"proposal {proposal.name} has {proposal.encryption.name} with AH", "",
                         "AH authenticates without encrypting",
                         f"Set proposals[{proposal.name}].protocol to ESP, or remove its encryption",
                         f"proposals[{proposal.name}].encryption")


@PHASE2.rule("phase2-without-authentication", ERROR, "RFC 8221 §4; RFC 4302", member="proposals")
def without_authentication(side: SiteSettings, gateway: GatewaySettings, tunnel: TunnelSettings) -> Iterator[Broken]:
    """Every Phase 2 proposal authenticates."""
    for proposal in tunnel.proposals:
        if proposal.authentication is None and not (proposal.encryption and proposal.encryption.aead):
            yield Broken("phase 2 authentication", f"proposal {proposal.name} has none", "",
                         "without it an attacker can alter the traffic",
                         f"Set proposals[{proposal.name}].authentication to SHA2-256",
                         f"proposals[{proposal.name}].authentication")


@PHASE2.rule("phase2-esp-without-encryption", ERROR, OWN, member="proposals")
def esp_without_encryption(side: SiteSettings, gateway: GatewaySettings, tunnel: TunnelSettings) -> Iterator[Broken]:
    """ESP encrypts."""
    for proposal in tunnel.proposals:
        if proposal.protocol is Protocol.ESP and proposal.encryption is None:
            yield Broken("phase 2 encryption", f"proposal {proposal.name} has none", "", "ESP without it hides nothing",
                         f"Set proposals[{proposal.name}].encryption to AES-256",
                         f"proposals[{proposal.name}].encryption")


@PHASE2.rule("phase2-mixed-protocols", ERROR, SEED, member="proposals")
def mixed_protocols(side: SiteSettings, gateway: GatewaySettings, tunnel: TunnelSettings) -> Iterator[Broken]:
    """A tunnel has ESP or AH, never both."""
    names = ", ".join(proposal.name for proposal in tunnel.proposals)
    if len({proposal.protocol for proposal in tunnel.proposals}) > 1:
        yield Broken("phase 2 protocol", f"the proposals {names} have ESP and AH", "", "one tunnel has one of them",
                     f"Keep the ESP proposals in tunnels[{tunnel.name}].proposals", f"tunnels[{tunnel.name}].proposals")


@PHASE2.rule("phase2-encryption-needs-ikev2", ERROR, "RFC 7634", member="proposals")
def encryption_needs_ikev2(side: SiteSettings, gateway: GatewaySettings, tunnel: TunnelSettings) -> Iterator[Broken]:
    """ChaCha20-Poly1305 in Phase 2 needs IKEv2."""
    if gateway.version is IkeVersion.V2:
        return
    for proposal in tunnel.proposals:
        if proposal.encryption and proposal.encryption.ipsec_doi_id is None:
            path = f"proposals[{proposal.name}].encryption"
            yield Broken("phase 2 encryption", f"proposal {proposal.name} has {proposal.encryption.name}",
                         f"gateway {gateway.name} has IKEv1", "IKEv1 has no number for it",
                         f"Set gateways[{gateway.name}].{TO_IKEV2}, or {path} to AES-GCM-256",
                         path, f"gateways[{gateway.name}].ike_version")


@PHASE2.rule("pfs-group-needs-ikev2", ERROR, "RFC 8031", member="pfs.key_group")
def pfs_group_needs_ikev2(side: SiteSettings, gateway: GatewaySettings, tunnel: TunnelSettings) -> Iterator[Broken]:
    """Perfect Forward Secrecy with key groups 31 and 32 needs IKEv2."""
    if gateway.version is IkeVersion.V1 and tunnel.pfs is not None and Use.IKEV1 not in tunnel.pfs.uses:
        path = f"tunnels[{tunnel.name}].pfs.key_group"
        yield Broken("PFS key group", f"it is group {tunnel.pfs.number}", f"gateway {gateway.name} has IKEv1",
                     "IKEv1 has no such group", f"Set gateways[{gateway.name}].{TO_IKEV2}, or {path} to 14",
                     path, f"gateways[{gateway.name}].ike_version")


@PHASE2.rule("pfs-additional-key-exchange-needs-ikev2", ERROR, "RFC 9370", member="pfs.additional_key_exchange")
def pfs_additional_key_exchange_needs_ikev2(side: SiteSettings, gateway: GatewaySettings,
                                            tunnel: TunnelSettings) -> Iterator[Broken]:
    """An additional key exchange of Perfect Forward Secrecy needs IKEv2."""
    if gateway.version is IkeVersion.V1 and tunnel.additional_key_exchange is not None:
        path = f"tunnels[{tunnel.name}].pfs.additional_key_exchange"
        yield Broken("PFS additional key exchange", f"it is {tunnel.additional_key_exchange.name}",
                     f"gateway {gateway.name} has IKEv1", "IKEv1 has one key exchange only",
                     f"Set gateways[{gateway.name}].{TO_IKEV2}, or remove {path}",
                     path, f"gateways[{gateway.name}].ike_version")


@PHASE2.rule("sa-pair-per-tunnel-needs-ikev2", ERROR, "RFC 2409 §5.5", member="sa_pairs")
def sa_pair_per_tunnel_needs_ikev2(side: SiteSettings, gateway: GatewaySettings,
                                   tunnel: TunnelSettings) -> Iterator[Broken]:
    """One SA pair for all routes of a tunnel needs IKEv2."""
    if gateway.version is IkeVersion.V1 and tunnel.sa_pairs is SaPairs.PER_TUNNEL:
        path = f"tunnels[{tunnel.name}].sa_pairs"
        yield Broken("SA pairs", "one is asked for all routes", f"gateway {gateway.name} has IKEv1",
                     "a Quick Mode carries one route",
                     f"Set gateways[{gateway.name}].{TO_IKEV2}, or {path} to per-route",
                     path, f"gateways[{gateway.name}].ike_version")


@PHASE2.rule("sa-pair-per-tunnel-with-fireware", ERROR, FIREWARE, member="sa_pairs")
def sa_pair_per_tunnel_with_fireware(side: SiteSettings, gateway: GatewaySettings,
                                     tunnel: TunnelSettings) -> Iterator[Broken]:
    """An appliance makes an SA pair for each tunnel route."""
    if tunnel.sa_pairs is SaPairs.PER_TUNNEL and hardware.is_fireware(side.platform.model):
        path = f"tunnels[{tunnel.name}].sa_pairs"
        yield Broken("SA pairs", "one is asked for all routes", f"{side.name}'s platform is {side.platform.model}",
                     "Fireware makes one for each", f"Set {path} to per-route", path, "site.platform")


@PHASE2.rule("ah-in-userspace", ERROR, "RFC 3948 §2", member="dataplane")
def ah_in_userspace(side: SiteSettings, gateway: GatewaySettings, tunnel: TunnelSettings) -> Iterator[Broken]:
    """AH needs the kernel's data plane: in userspace packets travel in UDP."""
    if tunnel.dataplane is DataPlaneChoice.USERSPACE and _with_ah(tunnel):
        path = f"tunnels[{tunnel.name}]"
        yield Broken("data plane", "it is userspace with AH", "", "its packets travel in UDP, and only ESP does",
                     f"Set {path}.dataplane to kernel, or protocol to ESP in the proposals of both ends",
                     f"{path}.dataplane", f"{path}.proposals")


@PHASE2.rule("interface-name", ERROR, "Linux, dev_valid_name and sysctl_dev_name_is_allowed", member="interface.name")
def interface_name(side: SiteSettings, gateway: GatewaySettings, tunnel: TunnelSettings) -> Iterator[Broken]:
    """On Linux the name of an interface has 15 characters at most, and is none of the kernel's or ikeengine's own."""
    if not side.platform.is_linux or tunnel.interface is None:
        return
    name, path = tunnel.interface.name, f"tunnels[{tunnel.name}].interface.name"
    if len(name) > LONGEST_INTERFACE_NAME or name in _NO_INTERFACE_NAMES:
        yield Broken("virtual interface", f"its name is {name}", "",
                     f"Linux takes names of 1 to {LONGEST_INTERFACE_NAME} characters, and not {_NO_INTERFACES}",
                     f"Set {path} to another one", path)


def _with_ah(tunnel: TunnelSettings) -> bool:
    return any(proposal.protocol is Protocol.AH for proposal in tunnel.proposals)


@TUNNEL.rule("ah-behind-nat", ERROR, "RFC 3715 §2.1; RFC 3948", member="proposals")
def ah_behind_nat(side: Side, gateway: Gateway, tunnel: Tunnel) -> Iterator[Broken]:
    """AH does not pass the NAT that a gateway is evidently behind."""
    index = nat.pair_behind(gateway) if _with_ah(tunnel) else None
    if index is not None:
        pair = gateway.endpoints[index]
        yield Broken("phase 2 protocol", "it is AH",
                     f"the endpoints are {pair.local.address} and {pair.remote.address}",
                     "AH protects the addresses that the NAT between them changes",
                     "Set protocol to ESP in the proposals of both ends", f"tunnels[{tunnel.name}].proposals",
                     f"gateways[{gateway.name}].endpoints[{index}].local.address")


def _ends(tunnel: Tunnel, index: int) -> tuple[str, str]:
    path = f"tunnels[{tunnel.name}].routes[{index}]"
    return f"{path}.local", f"{path}.remote"


@TUNNEL.rule("route-mixed-families", ERROR, "RFC 7296 §2.9", member="routes")
def route_mixed_families(side: Side, gateway: Gateway, tunnel: Tunnel) -> Iterator[Broken]:
    """Both sides of a tunnel route are IPv4, or both IPv6."""
    for index, route in enumerate(tunnel.routes):
        if route.is_mixed:
            yield Broken("tunnel route", f"local is {route.local}", f"remote is {route.remote}",
                         "they are of different address families",
                         f"Set tunnels[{tunnel.name}].routes[{index}] to two of one family", *_ends(tunnel, index))


@TUNNEL.rule("route-sides-overlap", ERROR, OWN, member="routes")
def route_sides_overlap(side: Side, gateway: Gateway, tunnel: Tunnel) -> Iterator[Broken]:
    """The two sides of a tunnel route have no address in common, unless one is everything (0.0.0.0/0, ::/0)."""
    for index, route in enumerate(tunnel.routes):
        common = route.common
        if common is not None:
            yield Broken("tunnel route", f"local is {route.local}", f"remote is {route.remote}",
                         f"both contain {common}, so its traffic has no one way",
                         f"Make the two of tunnels[{tunnel.name}].routes[{index}] disjoint", *_ends(tunnel, index))


@TUNNEL.rule("route-contains-endpoints", ERROR, OWN, member="routes")
def route_contains_endpoints(side: Side, gateway: Gateway, tunnel: Tunnel) -> Iterator[Broken]:
    """No tunnel route contains both of its gateway's own endpoints."""
    for pair in gateway.endpoints:
        if pair.local.address is None or pair.remote.address is None:
            continue
        local, remote = pair.local.address, pair.remote.address
        for index, route in enumerate(tunnel.routes):
            if _holds(route.local, local) and _holds(route.remote, remote):
                yield Broken("tunnel route", f"{route.local} contains {local}", f"{route.remote} contains {remote}",
                             "the tunnel's own packets would go into the tunnel",
                             f"Leave the endpoints out of tunnels[{tunnel.name}].routes[{index}]",
                             *_ends(tunnel, index))


@TUNNEL.rule("interface-route-contains-peer", WARNING, OWN, member="routes")
def interface_route_contains_peer(side: Side, gateway: Gateway, tunnel: Tunnel) -> Iterator[Broken]:
    """No route into a virtual interface contains the address of its gateway's peer."""
    if tunnel.interface is None:
        return
    for pair in gateway.endpoints:
        local, remote = pair.local.address, pair.remote.address
        if remote is None:
            continue
        for index, route in enumerate(tunnel.routes):
            if not _holds(route.remote, remote) or (local is not None and _holds(route.local, local)):
                continue  # or it has a rule of its own
            path = f"tunnels[{tunnel.name}].routes[{index}].remote"
            yield Broken("tunnel route", f"remote is {route.remote}, into {tunnel.interface.name}",
                         f"the peer is {remote}",
                         "the tunnel's own packets would go into the tunnel, unless a narrower route leads to the peer",
                         f"Leave {remote} out of {path}, or give {side.name} a route of its own to it", path,
                         f"gateways[{gateway.name}].endpoints")


def _holds(selector: Selector, address: Address) -> bool:
    return selector.contains(Selector(address, address))


@TUNNEL.rule("route-declared-twice", ERROR, OWN, member="routes")
def route_declared_twice(side: Side, gateway: Gateway, tunnel: Tunnel) -> Iterator[Broken]:
    """Each route of a tunnel stands there once."""
    if len(tunnel.routes) == 1:
        return
    first: dict[tuple[Selector, Selector], int] = {}
    for index, route in enumerate(tunnel.routes):
        other = first.setdefault((route.local, route.remote), index)
        if other != index:
            path = f"tunnels[{tunnel.name}].routes"
            yield Broken("tunnel route", f"routes[{other}] is {tunnel.routes[other]}", f"routes[{index}] is the same",
                         "each would have SAs of its own for one traffic", f"Remove {path}[{index}]",
                         f"{path}[{other}]", f"{path}[{index}]")


@TUNNEL.rule("route-of-many-prefixes", WARNING, "Linux, xfrm_selector", member="routes")
def route_of_many_prefixes(side: Side, gateway: Gateway, tunnel: Tunnel) -> Iterator[Broken]:
    """On Linux the two ranges of a tunnel route come to 64 policies at most in each direction."""
    if not side.platform.is_linux or not side.managed:
        return
    for index, route in enumerate(tunnel.routes):
        if not (route.local.is_range or route.remote.is_range):
            continue
        local, remote = len(route.local.prefixes()), len(route.remote.prefixes())
        if local * remote > MOST_POLICIES:
            yield Broken("tunnel route", f"local is {route.local} ({_counted(local)})",
                         f"remote is {route.remote} ({_counted(remote)})",
                         f"the kernel knows prefixes only, so this is {local * remote} policies in each direction",
                         f"Widen the two of tunnels[{tunnel.name}].routes[{index}] to networks at both ends",
                         *_ends(tunnel, index))


def _counted(prefixes: int) -> str:
    return f"{prefixes} prefixes" if prefixes > 1 else "1 prefix"
