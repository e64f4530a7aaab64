# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules on one gateway: what Phase 1 may hold at one end."""

from __future__ import annotations

from collections.abc import Iterator

from ..algorithms import Strength, Use
from ..model import CredentialMethod, Gateway, IkeVersion, Mode, Side
from .book import ERROR, GATEWAY, OWN, PHASE1, SEED, WARNING, Broken
from .settings import GatewaySettings, SiteSettings

SHORTEST_TEXT_KEY = 20
"""Characters below which a text key draws a warning: RFC 7296 §2.15 wants as much entropy as the algorithms' keys."""
SHORTEST_HEX_KEY = 16
"""Octets below which a hex key draws a warning: the key size of the weakest AES."""


@GATEWAY.rule("psk-missing", ERROR, SEED, member="credential")
def psk_missing(side: Side, gateway: Gateway) -> Iterator[Broken]:
    """A gateway whose method is a pre-shared key has one."""
    credential = gateway.credential
    if credential.method is not CredentialMethod.CERTIFICATE and credential.secret is None:
        yield Broken("credential", f"{side.name} declares no pre-shared key", "",
                     f"the method {credential.method.value} needs one", f"Set gateways[{gateway.name}].credential.psk")


@GATEWAY.rule("psk-short", WARNING, "RFC 7296 §2.15", member="credential.psk")
def psk_short(side: Side, gateway: Gateway) -> Iterator[Broken]:
    """A text key has 20 characters or more, a hex key 16 octets or more."""
    credential = gateway.credential
    if credential.secret is None:
        return
    text = credential.method is CredentialMethod.PSK
    least, unit = (SHORTEST_TEXT_KEY, "characters") if text else (SHORTEST_HEX_KEY, "octets")
    if len(credential.secret.octets.decode() if text else credential.secret.octets) < least:
        yield Broken("credential", f"{side.name}'s pre-shared key has fewer than {least} {unit}", "",
                     "a short key can be guessed from a recorded exchange",
                     f"Set a random key of {least} {unit} or more")


@GATEWAY.rule("psk-surrounding-space", WARNING, OWN, member="credential.psk")
def psk_surrounding_space(side: Side, gateway: Gateway) -> Iterator[Broken]:
    """A text key neither begins nor ends with white space."""
    credential = gateway.credential
    if credential.secret is None or credential.method is not CredentialMethod.PSK:
        return
    if credential.secret.octets != credential.secret.octets.strip():
        yield Broken("credential", f"{side.name}'s pre-shared key begins or ends with white space", "",
                     "every octet counts, also a line's end that came with a file",
                     "Remove it, or keep it at both ends")


@PHASE1.rule("phase1-aead-needs-ikev2", ERROR, f"{SEED}; RFC 5282", member="ike_version")
def aead_needs_ikev2(side: SiteSettings, gateway: GatewaySettings) -> Iterator[Broken]:
    """AES-GCM in Phase 1 needs IKEv2."""
    if gateway.version is IkeVersion.V2:
        return
    for transform in gateway.transforms:
        if Use.IKEV1 not in transform.encryption.uses:
            yield Broken("phase 1 encryption", f"transform {transform.name} has {transform.encryption.name}", "",
                         "IKEv1 has no authenticated encryption in phase 1",
                         f"Set gateways[{gateway.name}].ike_version to 2, or choose AES-256")


@PHASE1.rule("keep-alive-needs-ikev1", ERROR, SEED, member="ike_keep_alive")
def keep_alive_needs_ikev1(side: SiteSettings, gateway: GatewaySettings) -> Iterator[Broken]:
    """IKE keep-alive belongs to IKEv1."""
    if gateway.version is IkeVersion.V2 and gateway.keep_alive is not None:
        yield Broken("IKE keep-alive", "it is on", "", "IKEv2 has no IKE keep-alive; dead peer detection does its work",
                     f"Remove gateways[{gateway.name}].ike_keep_alive")


@PHASE1.rule("mode-needs-ikev1", ERROR, SEED, member="mode")
def mode_needs_ikev1(side: SiteSettings, gateway: GatewaySettings) -> Iterator[Broken]:
    """Main and Aggressive Mode belong to IKEv1."""
    if gateway.version is IkeVersion.V2 and gateway.mode is not None:
        yield Broken("mode", f"it is {gateway.mode.value}", "", "IKEv2 has no modes",
                     f"Remove gateways[{gateway.name}].mode")


@PHASE1.rule("nat-traversal-always-on", ERROR, f"{SEED}; RFC 7296 §2.23", member="nat_traversal.enabled")
def nat_traversal_always_on(side: SiteSettings, gateway: GatewaySettings) -> Iterator[Broken]:
    """IKEv2 always has NAT traversal."""
    if gateway.version is IkeVersion.V2 and not gateway.nat_traversal:
        yield Broken("NAT traversal", "it is off", "", "IKEv2 always has it",
                     f"Set gateways[{gateway.name}].nat_traversal.enabled to true")


@PHASE1.rule("dead-peer-detection-always-on", ERROR, f"{SEED}; RFC 7296 §2.4", member="dead_peer_detection.enabled")
def dead_peer_detection_always_on(side: SiteSettings, gateway: GatewaySettings) -> Iterator[Broken]:
    """IKEv2 always has Dead Peer Detection."""
    if gateway.version is IkeVersion.V2 and gateway.dead_peer_detection is None:
        yield Broken("dead peer detection", "it is off", "", "IKEv2 always has it",
                     f"Set gateways[{gateway.name}].dead_peer_detection.enabled to true")


@GATEWAY.rule("main-mode-needs-static-peer", ERROR, f"{SEED}; RFC 2409 §5.4", member="mode")
def main_mode_needs_static_peer(side: Side, gateway: Gateway) -> Iterator[Broken]:
    """Main Mode with a pre-shared key needs static addresses: the key is chosen by the peer's."""
    keyed = gateway.credential.method is not CredentialMethod.CERTIFICATE
    dynamic = any(end.address is None for pair in gateway.endpoints for end in (pair.local, pair.remote))
    if gateway.version is IkeVersion.V1 and gateway.mode is Mode.MAIN and keyed and dynamic:
        yield Broken("mode", "it is main with a dynamic address", "",
                     "in Main Mode the pre-shared key is chosen by the peer's address",
                     f"Set gateways[{gateway.name}].mode to aggressive, or better ike_version to 2")


@PHASE1.rule("aggressive-mode-one-group", ERROR, "RFC 2409 §5", member="transforms")
def aggressive_mode_one_group(side: SiteSettings, gateway: GatewaySettings) -> Iterator[Broken]:
    """In Aggressive Mode all transforms have the same key group."""
    groups = sorted({transform.key_group.number for transform in gateway.transforms})
    if gateway.version is IkeVersion.V1 and gateway.mode is Mode.AGGRESSIVE and len(groups) > 1:
        yield Broken("phase 1 key group", f"the transforms have groups {', '.join(map(str, groups))}", "",
                     "Aggressive Mode sends its public value first, so it cannot negotiate the group",
                     f"Give all transforms of gateways[{gateway.name}] one key_group")


@GATEWAY.rule("endpoints-mixed-families", ERROR, OWN, member="endpoints")
def endpoints_mixed_families(side: Side, gateway: Gateway) -> Iterator[Broken]:
    """Both addresses of an endpoint pair are IPv4, or both IPv6."""
    for index, pair in enumerate(gateway.endpoints):
        local, remote = pair.local.address, pair.remote.address
        if local is not None and remote is not None and local.version != remote.version:
            yield Broken("endpoints", f"local is {local}", f"remote is {remote}",
                         "they are of different address families and cannot reach each other",
                         f"Set gateways[{gateway.name}].endpoints[{index}] to two of one family")


@GATEWAY.rule("endpoints-same-address", ERROR, OWN, member="endpoints")
def endpoints_same_address(side: Side, gateway: Gateway) -> Iterator[Broken]:
    """The two addresses of an endpoint pair differ."""
    for index, pair in enumerate(gateway.endpoints):
        if pair.local.address is not None and pair.local.address == pair.remote.address:
            yield Broken("endpoints", f"local and remote are {pair.local.address}", "", "a gateway is not its own peer",
                         f"Set gateways[{gateway.name}].endpoints[{index}].remote.address to the peer's")


@PHASE1.rule("phase1-weak", WARNING, "RFC 8247; RFC 9395", member="transforms")
def weak_phase1(side: SiteSettings, gateway: GatewaySettings) -> Iterator[Broken]:
    """MD5, DES, 3DES and groups 1, 2 and 5 are weak."""
    for transform in gateway.transforms:
        weak = [name for name, strength in (
            (transform.encryption.name, transform.encryption.strength),
            (transform.authentication.name, transform.authentication.strength),
            (f"group {transform.key_group.number}", transform.key_group.strength)) if strength is Strength.WEAK]
        if weak:
            yield Broken("phase 1 transform", f"transform {transform.name} has {', '.join(weak)}", "",
                         "that is weak today", "Choose AES-256, SHA2-256 and group 14 or better at both ends")
