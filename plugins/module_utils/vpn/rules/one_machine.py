# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules on what a site's machine can do: an appliance by model and firmware, or ikeengine of this version."""

from __future__ import annotations

from collections.abc import Iterator

from .. import hardware
from ..algorithms import Authentication, Strength
from ..model import CredentialMethod, Gateway, IkeVersion, Side
from .book import ERROR, FIREWARE, GATEWAY, OWN, PHASE1, PHASE2, SEED, SITE, Broken
from .settings import GatewaySettings, SiteSettings, TunnelSettings

_ENCRYPTIONS = [row.name for row in hardware.FIREWARE_ENCRYPTIONS if row.strength is not Strength.WEAK]
_KEY_GROUPS = [str(row.number) for row in hardware.FIREWARE_KEY_GROUPS if row.strength is not Strength.WEAK]
"""What an appliance can take in the place of what it has not."""


@SITE.rule("managed-needs-linux", ERROR, OWN, member="site.managed")
def managed_needs_linux(side: Side) -> Iterator[Broken]:
    """ikeengine manages Linux sites only."""
    if side.managed and not side.platform.is_linux:
        yield Broken("managed", "it is true", f"platform is {side.platform.model}", "ikeengine runs on Linux only",
                     "Set site.managed to false", "site.managed", "site.platform")


@PHASE1.rule("hardware-phase1-sha2", ERROR, SEED, member="transforms")
def phase1_sha2(side: SiteSettings, gateway: GatewaySettings) -> Iterator[Broken]:
    """Sixteen XTM models have no SHA-2 for Phase 1."""
    if not hardware.lacks_sha2(side.platform.model):
        return
    for transform in gateway.transforms:
        if hardware.is_sha2(transform.authentication):
            yield _without_sha2(side, "phase 1 authentication", f"transform {transform.name}",
                                transform.authentication.name, f"transforms[{transform.name}].authentication")


@PHASE2.rule("hardware-phase2-sha2", ERROR, SEED, member="proposals")
def phase2_sha2(side: SiteSettings, gateway: GatewaySettings, tunnel: TunnelSettings) -> Iterator[Broken]:
    """Sixteen XTM models have no SHA-2 for Phase 2."""
    if not hardware.lacks_sha2(side.platform.model):
        return
    for proposal in tunnel.proposals:
        if proposal.authentication and hardware.is_sha2(proposal.authentication):
            yield _without_sha2(side, "phase 2 authentication", f"proposal {proposal.name}",
                                proposal.authentication.name, f"proposals[{proposal.name}].authentication")


def _without_sha2(side: SiteSettings, field: str, holder: str, name: str, path: str) -> Broken:
    return Broken(field, f"{holder} has {name}", f"{side.name}'s platform is {side.platform.model}",
                  "this model's cryptographic hardware has no SHA-2", f"Set {path} to SHA1 at both ends", path,
                  "site.platform")


@PHASE1.rule("appliance-phase1", ERROR, FIREWARE, member="transforms")
def appliance_phase1(side: SiteSettings, gateway: GatewaySettings) -> Iterator[Broken]:
    """A WatchGuard appliance has no ChaCha20-Poly1305, group 16, 31 or 32, or additional key exchange in Phase 1."""
    if not hardware.is_fireware(side.platform.model):
        return
    for transform in gateway.transforms:
        holder, path = f"transform {transform.name} has", f"transforms[{transform.name}]"
        if transform.encryption not in hardware.FIREWARE_ENCRYPTIONS:
            yield _not_there(side, "phase 1 encryption", f"{holder} {transform.encryption.name}",
                             _ENCRYPTIONS, f"{path}.encryption")
        if transform.key_group not in hardware.FIREWARE_KEY_GROUPS:
            yield _not_there(side, "phase 1 key group", f"{holder} group {transform.key_group.number}",
                             _KEY_GROUPS, f"{path}.key_group")
        if transform.additional_key_exchange is not None:
            yield _not_there(side, "phase 1 additional key exchange",
                             f"{holder} {transform.additional_key_exchange.name}", [],
                             f"{path}.additional_key_exchange")


@PHASE2.rule("appliance-phase2", ERROR, FIREWARE)
def appliance_phase2(side: SiteSettings, gateway: GatewaySettings, tunnel: TunnelSettings) -> Iterator[Broken]:
    """A WatchGuard appliance has no ChaCha20-Poly1305, group 16, 31 or 32, or additional key exchange in Phase 2."""
    if not hardware.is_fireware(side.platform.model):
        return
    path = f"tunnels[{tunnel.name}].pfs"
    if tunnel.pfs is not None and tunnel.pfs not in hardware.FIREWARE_KEY_GROUPS:
        yield _not_there(side, "PFS key group", f"it is group {tunnel.pfs.number}",
                         _KEY_GROUPS, f"{path}.key_group")
    if tunnel.additional_key_exchange is not None:
        yield _not_there(side, "PFS additional key exchange", f"it is {tunnel.additional_key_exchange.name}", [],
                         f"{path}.additional_key_exchange")
    for proposal in tunnel.proposals:
        if proposal.encryption is not None and proposal.encryption not in hardware.FIREWARE_ENCRYPTIONS:
            yield _not_there(side, "phase 2 encryption", f"proposal {proposal.name} has {proposal.encryption.name}",
                             _ENCRYPTIONS, f"proposals[{proposal.name}].encryption")


def _not_there(side: SiteSettings, field: str, asked: str, able: list[str], path: str) -> Broken:
    return Broken(field, asked, f"{side.name}'s platform is {side.platform.model}", "Fireware does not have it",
                  f"Set {path} to {'one of ' + ', '.join(able) if able else 'none'} at both ends", path,
                  "site.platform")


@PHASE1.rule("firmware-phase1", ERROR, FIREWARE)
def firmware_phase1(side: SiteSettings, gateway: GatewaySettings) -> Iterator[Broken]:
    """The appliance's firmware has what Phase 1 asks for."""
    if side.platform.firmware is None or not hardware.is_fireware(side.platform.model):
        return
    asked = [(hardware.IKEV2, gateway.version is IkeVersion.V2, f"gateways[{gateway.name}].ike_version"),
             (hardware.HEX_PSK, gateway.method is CredentialMethod.HEX_PSK,
              f"gateways[{gateway.name}].credential.method")]
    for transform in gateway.transforms:
        path = f"transforms[{transform.name}]"
        asked += [(hardware.SHA2, _firmware_brings_sha2(side, transform.authentication), f"{path}.authentication"),
                  (hardware.AES_GCM, transform.encryption.aead, f"{path}.encryption"),
                  (hardware.GROUP_21, transform.key_group == hardware.NEWEST_GROUP, f"{path}.key_group")]
    yield from _too_old(side, "phase 1", asked)


@GATEWAY.rule("firmware-ipv6-endpoints", ERROR, FIREWARE, member="endpoints")
def firmware_ipv6_endpoints(side: Side, gateway: Gateway) -> Iterator[Broken]:
    """The appliance's firmware has IPv6 endpoints where a gateway has one."""
    if side.platform.firmware is None or not hardware.is_fireware(side.platform.model):
        return
    asked = any(end.address is not None and end.address.version == 6
                for pair in gateway.endpoints for end in (pair.local, pair.remote))
    yield from _too_old(side, "phase 1", [(hardware.IPV6_ENDPOINTS, asked, f"gateways[{gateway.name}].endpoints")])


@PHASE2.rule("firmware-phase2", ERROR, FIREWARE)
def firmware_phase2(side: SiteSettings, gateway: GatewaySettings, tunnel: TunnelSettings) -> Iterator[Broken]:
    """The appliance's firmware has what Phase 2 asks for."""
    if side.platform.firmware is None or not hardware.is_fireware(side.platform.model):
        return
    asked = [(hardware.GROUP_21, tunnel.pfs == hardware.NEWEST_GROUP, f"tunnels[{tunnel.name}].pfs.key_group")]
    for proposal in tunnel.proposals:
        path = f"proposals[{proposal.name}]"
        asked += [(hardware.SHA2, _firmware_brings_sha2(side, proposal.authentication), f"{path}.authentication"),
                  (hardware.AES_GCM, proposal.encryption is not None and proposal.encryption.aead,
                   f"{path}.encryption")]
    yield from _too_old(side, "phase 2", asked)


def _firmware_brings_sha2(side: SiteSettings, authentication: Authentication | None) -> bool:
    """Where the hardware lacks it, no firmware does."""
    return (authentication is not None and hardware.is_sha2(authentication)
            and not hardware.lacks_sha2(side.platform.model))


def _too_old(side: SiteSettings, phase: str, asked: list[tuple[str, bool, str]]) -> Iterator[Broken]:
    for ability, wanted, path in asked:
        if wanted and not hardware.has_ability(side.platform.firmware, ability):
            yield Broken(phase, f"{path} asks for {ability}",
                         f"{side.name}'s {side.platform.model} has firmware {side.platform.firmware}",
                         f"{ability} came with firmware {hardware.FIRMWARE_SINCE[ability]}",
                         f"Upgrade {side.name}, or change {path}", path, "site.firmware")
