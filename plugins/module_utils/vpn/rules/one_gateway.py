# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules on one gateway's settings: what Phase 1 may hold at one end."""

from __future__ import annotations

from collections.abc import Iterator

from ..algorithms import Use
from ..durations import format_duration
from ..model import IkeVersion, Mode
from .book import ERROR, FIREWARE, PHASE1, SEED, TO_IKEV2, WARNING, Broken
from .settings import GatewaySettings, SiteSettings

_USUAL_NAT_KEEP_ALIVE = 20
"""Seconds, where a declaration says nothing: another number was asked for."""


@PHASE1.rule("phase1-aead-needs-ikev2", ERROR, f"{SEED}; RFC 5282; RFC 7634", member="ike_version")
def aead_needs_ikev2(side: SiteSettings, gateway: GatewaySettings) -> Iterator[Broken]:
    """AES-GCM and ChaCha20-Poly1305 in Phase 1 need IKEv2."""
    if gateway.version is IkeVersion.V2:
        return
    for transform in gateway.transforms:
        if Use.IKEV1 not in transform.encryption.uses:
            yield Broken("phase 1 encryption", f"transform {transform.name} has {transform.encryption.name}", "",
                         "IKEv1 has no authenticated encryption in phase 1",
                         f"Set gateways[{gateway.name}].{TO_IKEV2}, or choose AES-256",
                         f"transforms[{transform.name}].encryption")


@PHASE1.rule("phase1-key-group-needs-ikev2", ERROR, "RFC 8031", member="ike_version")
def key_group_needs_ikev2(side: SiteSettings, gateway: GatewaySettings) -> Iterator[Broken]:
    """Key groups 31 and 32 in Phase 1 need IKEv2."""
    if gateway.version is IkeVersion.V2:
        return
    for transform in gateway.transforms:
        path = f"transforms[{transform.name}].key_group"
        if Use.IKEV1 not in transform.key_group.uses:
            yield Broken("phase 1 key group", f"transform {transform.name} has group {transform.key_group.number}", "",
                         "IKEv1 has no such group", f"Set gateways[{gateway.name}].{TO_IKEV2}, or {path} to 14",
                         path)


@PHASE1.rule("phase1-additional-key-exchange-needs-ikev2", ERROR, "RFC 9370", member="ike_version")
def additional_key_exchange_needs_ikev2(side: SiteSettings, gateway: GatewaySettings) -> Iterator[Broken]:
    """An additional key exchange in Phase 1 needs IKEv2."""
    if gateway.version is IkeVersion.V2:
        return
    for transform in gateway.transforms:
        path = f"transforms[{transform.name}].additional_key_exchange"
        if transform.additional_key_exchange is not None:
            yield Broken("phase 1 additional key exchange",
                         f"transform {transform.name} has {transform.additional_key_exchange.name}", "",
                         "IKEv1 has one key exchange only",
                         f"Set gateways[{gateway.name}].{TO_IKEV2}, or remove {path}", path)


@PHASE1.rule("keep-alive-needs-ikev1", ERROR, SEED, member="ike_keep_alive")
def keep_alive_needs_ikev1(side: SiteSettings, gateway: GatewaySettings) -> Iterator[Broken]:
    """IKE keep-alive belongs to IKEv1."""
    if gateway.version is IkeVersion.V2 and gateway.keep_alive is not None:
        path = f"gateways[{gateway.name}].ike_keep_alive"
        yield Broken("IKE keep-alive", "it is on", "", "IKEv2 has no IKE keep-alive; dead peer detection does its work",
                     f"Remove {path}", path)


@PHASE1.rule("keep-alive-with-dead-peer-detection", WARNING, FIREWARE, member="ike_keep_alive")
def keep_alive_with_dead_peer_detection(side: SiteSettings, gateway: GatewaySettings) -> Iterator[Broken]:
    """A gateway has IKE keep-alive or Dead Peer Detection, not both."""
    if gateway.version is IkeVersion.V1 and gateway.keep_alive is not None and gateway.dead_peer_detection is not None:
        path = f"gateways[{gateway.name}]"
        yield Broken("IKE keep-alive", "it is on", "dead peer detection is on",
                     "either is enough, and both close what only one would have kept",
                     f"Remove {path}.ike_keep_alive at both ends", f"{path}.ike_keep_alive",
                     f"{path}.dead_peer_detection")


@PHASE1.rule("mode-needs-ikev1", ERROR, SEED, member="mode")
def mode_needs_ikev1(side: SiteSettings, gateway: GatewaySettings) -> Iterator[Broken]:
    """Main and Aggressive Mode belong to IKEv1."""
    if gateway.version is IkeVersion.V2 and gateway.mode is not None:
        path = f"gateways[{gateway.name}].mode"
        yield Broken("mode", f"it is {gateway.mode.value}", "", "IKEv2 has no modes", f"Remove {path}", path)


@PHASE1.rule("aggressive-mode-one-group", ERROR, "RFC 2409 §5", member="transforms")
def aggressive_mode_one_group(side: SiteSettings, gateway: GatewaySettings) -> Iterator[Broken]:
    """Where Aggressive Mode may come about all transforms have the same key group."""
    groups = sorted({transform.key_group.number for transform in gateway.transforms})
    if gateway.version is IkeVersion.V1 and gateway.mode is not Mode.MAIN and len(groups) > 1:
        yield Broken("phase 1 key group", f"the transforms have groups {', '.join(map(str, groups))}", "",
                     "Aggressive Mode sends its public value first, so it cannot negotiate the group",
                     f"Give all transforms of gateways[{gateway.name}] one key_group",
                     f"gateways[{gateway.name}].transforms")


@PHASE1.rule("nat-traversal-always-on", ERROR, f"{SEED}; RFC 7296 §2.23", member="nat_traversal.enabled")
def nat_traversal_always_on(side: SiteSettings, gateway: GatewaySettings) -> Iterator[Broken]:
    """IKEv2 always has NAT traversal."""
    if gateway.version is IkeVersion.V2 and not gateway.nat_traversal:
        path = f"gateways[{gateway.name}].nat_traversal.enabled"
        yield Broken("NAT traversal", "it is off", "", "IKEv2 always has it", f"Set {path} to true", path)


@PHASE1.rule("nat-keep-alive-without-nat-traversal", WARNING, "RFC 3948 §4", member="nat_traversal.keep_alive")
def nat_keep_alive_without_nat_traversal(side: SiteSettings, gateway: GatewaySettings) -> Iterator[Broken]:
    """Only NAT traversal has a keep-alive."""
    if gateway.version is IkeVersion.V1 and not gateway.nat_traversal \
            and gateway.nat_keep_alive != _USUAL_NAT_KEEP_ALIVE:
        path = f"gateways[{gateway.name}].nat_traversal"
        yield Broken("NAT keep-alive", f"it is {format_duration(gateway.nat_keep_alive)}", "NAT traversal is off",
                     "no mapping is kept alive then",
                     f"Set {path}.enabled to true at both ends, or remove {path}.keep_alive",
                     f"{path}.keep_alive", f"{path}.enabled")


@PHASE1.rule("dead-peer-detection-always-on", ERROR, f"{SEED}; RFC 7296 §2.4", member="dead_peer_detection.enabled")
def dead_peer_detection_always_on(side: SiteSettings, gateway: GatewaySettings) -> Iterator[Broken]:
    """IKEv2 always has Dead Peer Detection."""
    if gateway.version is IkeVersion.V2 and gateway.dead_peer_detection is None:
        path = f"gateways[{gateway.name}].dead_peer_detection.enabled"
        yield Broken("dead peer detection", "it is off", "", "IKEv2 always has it", f"Set {path} to true", path)
