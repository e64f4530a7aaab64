# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules on what works and is weak: a warning each, and an error where the site's policy is strict."""

from __future__ import annotations

from collections.abc import Iterator

from ..algorithms import Strength
from ..model import CredentialMethod, IkeVersion, Mode, Policy
from .book import ERROR, OWN, PHASE1, PHASE2, SEED, TO_IKEV2, WARNING, Broken
from .settings import GatewaySettings, SiteSettings, TunnelSettings

_WEAK = "that is weak today"


@PHASE1.rule("ikev1-historic", WARNING, "RFC 9395", member="ike_version")
def ikev1_historic(side: SiteSettings, gateway: GatewaySettings) -> Iterator[Broken]:
    """IKEv1 is Historic."""
    if side.policy is Policy.STANDARD:
        yield from _ikev1(side, gateway)


@PHASE1.rule("policy-ikev1", ERROR, f"{OWN}; RFC 9395", member="ike_version")
def policy_ikev1(side: SiteSettings, gateway: GatewaySettings) -> Iterator[Broken]:
    """A strict policy has no IKEv1."""
    if side.policy is Policy.STRICT:
        yield from _ikev1(side, gateway)


def _ikev1(side: SiteSettings, gateway: GatewaySettings) -> Iterator[Broken]:
    if gateway.version is IkeVersion.V1:
        path = f"gateways[{gateway.name}]"
        yield _broken(side, "IKE version", "it is 1", "IKEv1 is Historic", f"Set {path}.{TO_IKEV2}",
                      f"{path}.ike_version")


@PHASE1.rule("aggressive-mode-psk", WARNING, f"{SEED}; NIST SP 800-77r1", member="mode")
def aggressive_mode_psk(side: SiteSettings, gateway: GatewaySettings) -> Iterator[Broken]:
    """Aggressive Mode with a pre-shared key shows a digest of the key to whoever asks."""
    if side.policy is Policy.STANDARD:
        yield from _guessable(side, gateway)


@PHASE1.rule("policy-aggressive-mode-psk", ERROR, f"{OWN}; NIST SP 800-77r1", member="mode")
def policy_aggressive_mode_psk(side: SiteSettings, gateway: GatewaySettings) -> Iterator[Broken]:
    """A strict policy has no Aggressive Mode with a pre-shared key."""
    if side.policy is Policy.STRICT:
        yield from _guessable(side, gateway)


def _guessable(side: SiteSettings, gateway: GatewaySettings) -> Iterator[Broken]:
    if gateway.version is IkeVersion.V1 and gateway.method is not CredentialMethod.CERTIFICATE \
            and gateway.mode is not None and gateway.mode is not Mode.MAIN:
        path = f"gateways[{gateway.name}]"
        yield _broken(side, "mode", f"it is {gateway.mode.value} with a pre-shared key",
                      "who asks for one exchange can guess the key offline",
                      f"Set {path}.{TO_IKEV2}, or {path}.credential.method to certificate at both ends", f"{path}.mode")


@PHASE1.rule("phase1-weak", WARNING, "RFC 8247; RFC 9395", member="transforms")
def phase1_weak(side: SiteSettings, gateway: GatewaySettings) -> Iterator[Broken]:
    """MD5, SHA1, DES, 3DES and groups 1, 2 and 5 in Phase 1 are weak."""
    if side.policy is Policy.STANDARD:
        yield from _weak_transforms(side, gateway)


@PHASE1.rule("policy-phase1-weak", ERROR, f"{OWN}; RFC 8247; RFC 9395", member="transforms")
def policy_phase1_weak(side: SiteSettings, gateway: GatewaySettings) -> Iterator[Broken]:
    """A strict policy has nothing weak in Phase 1."""
    if side.policy is Policy.STRICT:
        yield from _weak_transforms(side, gateway)


def _weak_transforms(side: SiteSettings, gateway: GatewaySettings) -> Iterator[Broken]:
    for transform in gateway.transforms:
        weak = [name for name, strength in (
            (transform.encryption.name, transform.encryption.strength),
            (transform.authentication.name, transform.authentication.strength),
            (f"group {transform.key_group.number}", transform.key_group.strength)) if strength is Strength.WEAK]
        if weak:
            yield _broken(side, "phase 1 transform", f"transform {transform.name} has {', '.join(weak)}", _WEAK,
                          "Choose AES-256, SHA2-256 and group 14 or better at both ends",
                          f"transforms[{transform.name}]")


@PHASE2.rule("phase2-weak", WARNING, "RFC 8221; RFC 9395", member="proposals")
def phase2_weak(side: SiteSettings, gateway: GatewaySettings, tunnel: TunnelSettings) -> Iterator[Broken]:
    """MD5, SHA1, DES and 3DES in Phase 2 are weak."""
    if side.policy is Policy.STANDARD:
        yield from _weak_proposals(side, tunnel)


@PHASE2.rule("policy-phase2-weak", ERROR, f"{OWN}; RFC 8221; RFC 9395", member="proposals")
def policy_phase2_weak(side: SiteSettings, gateway: GatewaySettings, tunnel: TunnelSettings) -> Iterator[Broken]:
    """A strict policy has nothing weak in Phase 2."""
    if side.policy is Policy.STRICT:
        yield from _weak_proposals(side, tunnel)


def _weak_proposals(side: SiteSettings, tunnel: TunnelSettings) -> Iterator[Broken]:
    for proposal in tunnel.proposals:
        weak = [row.name for row in (proposal.encryption, proposal.authentication)
                if row is not None and row.strength is Strength.WEAK]
        if weak:
            yield _broken(side, "phase 2 proposal", f"proposal {proposal.name} has {', '.join(weak)}", _WEAK,
                          "Choose AES-256 and SHA2-256, or AES-GCM-256, at both ends", f"proposals[{proposal.name}]")


@PHASE2.rule("pfs-weak", WARNING, "RFC 8247; RFC 9395", member="pfs.key_group")
def pfs_weak(side: SiteSettings, gateway: GatewaySettings, tunnel: TunnelSettings) -> Iterator[Broken]:
    """Perfect Forward Secrecy with groups 1, 2 and 5 is weak."""
    if side.policy is Policy.STANDARD:
        yield from _weak_pfs(side, tunnel)


@PHASE2.rule("policy-pfs-weak", ERROR, f"{OWN}; RFC 8247; RFC 9395", member="pfs.key_group")
def policy_pfs_weak(side: SiteSettings, gateway: GatewaySettings, tunnel: TunnelSettings) -> Iterator[Broken]:
    """A strict policy has no weak group for Perfect Forward Secrecy."""
    if side.policy is Policy.STRICT:
        yield from _weak_pfs(side, tunnel)


def _weak_pfs(side: SiteSettings, tunnel: TunnelSettings) -> Iterator[Broken]:
    if tunnel.pfs is not None and tunnel.pfs.strength is Strength.WEAK:
        path = f"tunnels[{tunnel.name}].pfs.key_group"
        yield _broken(side, "PFS key group", f"it is group {tunnel.pfs.number}", _WEAK,
                      f"Set {path} to 14 or better at both ends", path)


@PHASE2.rule("pfs-off", WARNING, SEED, member="pfs.enabled")
def pfs_off(side: SiteSettings, gateway: GatewaySettings, tunnel: TunnelSettings) -> Iterator[Broken]:
    """Perfect Forward Secrecy is on."""
    if tunnel.pfs is None:
        path = f"tunnels[{tunnel.name}].pfs.enabled"
        yield Broken("PFS", "it is off", "", "who learns phase 1's keys can then read this tunnel's traffic",
                     f"Set {path} to true at both ends", path)


def _broken(side: SiteSettings, field: str, state: str, rule: str, fix: str, path: str) -> Broken:
    if side.policy is Policy.STRICT:
        return Broken(field, state, f"{side.name}'s policy is strict", rule, fix, path, "policy")
    return Broken(field, state, "", rule, fix, path)
