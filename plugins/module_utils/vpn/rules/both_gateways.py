# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules between the settings of a gateway's two ends: Phase 1."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from .. import hardware
from ..model import (
    Credential,
    CredentialMethod,
    DeadPeerDetection,
    IkeVersion,
    KeepAlive,
    Mode,
    Secret,
    Transform,
)
from .book import BOTH_PHASE1, ERROR, SEED, TO_IKEV2, WARNING, Broken
from .mismatch import Near, listed, lives_differ, nearest, transform_life, transform_members, values
from .remedies import Remedy, is_sound, offered, to_gateway, to_transform
from .settings import GatewaySettings, PairSettings, SiteSettings


def _paths(pair: PairSettings, field: str) -> tuple[str, str]:
    return f"gateways[{pair.left_gateway.name}].{field}", f"gateways[{pair.right_gateway.name}].{field}"


def _both_v1(pair: PairSettings) -> bool:
    return pair.left_gateway.version is pair.right_gateway.version is IkeVersion.V1


@BOTH_PHASE1.rule("ike-version-differs", ERROR, SEED, member="ike_version")
def ike_version_differs(pair: PairSettings) -> Iterator[Broken]:
    """Both ends have the same IKE version."""
    left, right = pair.left_gateway.version, pair.right_gateway.version
    if left is not right:
        yield Broken("IKE version", f"{pair.left.name} has IKEv{left.value}",
                     f"{pair.right.name} has IKEv{right.value}", "a peer does not answer the other version",
                     offered([_at_both_ends(pair, version) for version in (IkeVersion.V2, IkeVersion.V1)]),
                     *_paths(pair, "ike_version"))


_IN_IKEV2: dict[str, tuple[Any, str]] = {
    "mode": (None, "no mode"), "keep_alive": (None, "no ike_keep_alive"),
    "nat_traversal": (True, "nat_traversal.enabled true"),
    "dead_peer_detection": (DeadPeerDetection(), "dead_peer_detection.enabled true")}
"""What IKEv2 has one way only: the field's value there, in the model and in words."""


_IN_IKEV1 = {"mode": "mode", "nat_traversal": "nat_traversal.enabled", "keep_alive": "ike_keep_alive"}
"""What both ends need alike in IKEv1: the field in the model and in words."""


def _at_both_ends(pair: PairSettings, version: IkeVersion) -> Remedy:
    """Set the IKE version, and what goes with it."""
    ends, beside = [], dict[str, None]()
    for side, gateway, peer, peers in ((pair.left, pair.left_gateway, pair.right, pair.right_gateway),
                                       (pair.right, pair.right_gateway, pair.left, pair.left_gateway)):
        changes: dict[str, Any] = {"version": version}
        if version is IkeVersion.V2:
            for field, (value, words) in _IN_IKEV2.items():
                if bool(getattr(gateway, field)) is not bool(value):
                    changes[field] = value
                    beside[words] = None
        elif gateway.version is not version:
            taken = {field: getattr(peers, field) for field in _IN_IKEV1}
            changes |= taken
            beside |= {f"{_IN_IKEV1[field]} as {peer.name} has it": None for field, value in taken.items()
                       if value != getattr(gateway, field) and value is not Mode.MAIN}
        ends.append(to_gateway("", side, gateway, **changes))
    with_it = f", with {listed(beside)}" if beside else ""
    return replace(ends[0] & ends[1], words=f"ike_version to {version.value} at both ends{with_it}")


@BOTH_PHASE1.rule("mode-differs", ERROR, SEED, member="mode")
def mode_differs(pair: PairSettings) -> Iterator[Broken]:
    """Neither end has Main Mode where the other has Aggressive Mode."""
    left, right = pair.left_gateway.mode, pair.right_gateway.mode
    if _both_v1(pair) and left and right and {left, right} == {Mode.MAIN, Mode.AGGRESSIVE}:
        yield Broken("mode", f"{pair.left.name} has {left.value}", f"{pair.right.name} has {right.value}",
                     "a responder refuses a mode that it is not set up for",
                     offered([_with_mode(pair, Mode.MAIN), _with_mode(pair, Mode.AGGRESSIVE),
                              _at_both_ends(pair, IkeVersion.V2)]), *_paths(pair, "mode"))


def _with_mode(pair: PairSettings, mode: Mode) -> Remedy:
    return (to_gateway(f"mode to {mode.value} at both ends", pair.left, pair.left_gateway, mode=mode)
            & to_gateway("", pair.right, pair.right_gateway, mode=mode))


@BOTH_PHASE1.rule("mode-falls-back", WARNING, SEED, member="mode")
def mode_falls_back(pair: PairSettings) -> Iterator[Broken]:
    """Main Mode with fallback to Aggressive Mode meets its like."""
    left, right = pair.left_gateway.mode, pair.right_gateway.mode
    if not _both_v1(pair) or left is None or right is None or left is right:
        return
    agreed = next((mode for mode in (left, right) if mode is not Mode.MAIN_FALLBACK_AGGRESSIVE), None)
    if agreed is not None and Mode.MAIN_FALLBACK_AGGRESSIVE in (left, right):
        yield Broken("mode", f"{pair.left.name} has {left.value}", f"{pair.right.name} has {right.value}",
                     f"they agree on {agreed.value}" + (
                         ", which protects no identity" if agreed is Mode.AGGRESSIVE else ""),
                     f"Set {TO_IKEV2}, or mode to main at both ends where both have static addresses",
                     *_paths(pair, "mode"))


@BOTH_PHASE1.rule("credential-method-differs", ERROR, SEED, member="credential.method")
def credential_method_differs(pair: PairSettings) -> Iterator[Broken]:
    """Both ends have the same credential method."""
    left, right = pair.left_gateway.method, pair.right_gateway.method
    if left is not right:
        yield Broken("credential", f"{pair.left.name} has method {left.value}", f"{pair.right.name} has {right.value}",
                     "both ends need the same method; the peers would answer AUTHENTICATION_FAILED",
                     offered([_with_method(pair.right, pair.right_gateway, left),
                              _with_method(pair.left, pair.left_gateway, right)]), *_paths(pair, "credential.method"))


_KEY = Secret(b"a key that is as long as any rule asks for")
_CREDENTIALS = {method: Credential(method, _KEY, "a certificate", ("its authority",)) for method in CredentialMethod}
"""As an end would have it that takes another method: with everything that the method needs."""


def _with_method(side: SiteSettings, gateway: GatewaySettings, method: CredentialMethod) -> Remedy:
    return to_gateway(f"gateways[{gateway.name}].credential.method of {side.name} to {method.value}", side, gateway,
                      credential=_CREDENTIALS[method])


@BOTH_PHASE1.rule("phase1-no-common-transform", ERROR, f"{SEED}; RFC 7296 §2.7", member="transforms")
def no_common_transform(pair: PairSettings) -> Iterator[Broken]:
    """Both ends have a Phase 1 transform with the same algorithms and key exchanges."""
    left, right = pair.left_gateway.transforms, pair.right_gateway.transforms
    if set(map(transform_members, left)) & set(map(transform_members, right)):
        return
    options = [(near, _made_equal(pair, near)) for near in nearest(left, right, transform_members, transform_life)]
    near, remedies = next((option for option in options if is_sound(option[1])), options[0])
    yield Broken(f"phase 1 {near.labels}", f"{pair.left.name} offers {values(near.left)}",
                 f"{pair.right.name} offers {values(near.right)}",
                 "no common transform; the peers would answer NO_PROPOSAL_CHOSEN", offered(remedies),
                 *near.paths("transforms"))


def _made_equal(pair: PairSettings, near: Near[Transform]) -> list[Remedy]:
    left, right = pair.left_gateway, pair.right_gateway
    to_left, as_left = near.as_left()
    to_right, as_right = near.as_right()
    return [to_transform(f"{to_left} in {pair.right.name}'s transform {near.right_offer.name}", pair.right, right,
                         near.right_offer, as_left),
            to_transform(f"{to_right} in {pair.left.name}'s transform {near.left_offer.name}", pair.left, left,
                         near.left_offer, as_right)]


@BOTH_PHASE1.rule("phase1-sa-life-differs", ERROR, f"{SEED}; RFC 7296 §2.8", member="transforms")
def sa_life_differs(pair: PairSettings) -> Iterator[Broken]:
    """Both ends have the same SA life in the Phase 1 transform that they share."""
    yield from lives_differ(pair, "phase 1", "transform", pair.left_gateway.transforms, pair.right_gateway.transforms,
                            transform_members, transform_life)


def _on(value: object) -> str:
    return "on" if value else "off"


def _only_one(pair: PairSettings, field: str, left: object, right: object, path: str, rule: str, fix: str) -> Broken:
    return Broken(field, f"{pair.left.name} has it {_on(left)}", f"{pair.right.name} has it {_on(right)}", rule, fix,
                  *_paths(pair, path))


def _without(pair: PairSettings, left: object) -> tuple[SiteSettings, GatewaySettings]:
    """The end that has it off, by what the left one has."""
    return (pair.right, pair.right_gateway) if left else (pair.left, pair.left_gateway)


@BOTH_PHASE1.rule("nat-traversal-differs", ERROR, SEED, member="nat_traversal.enabled")
def nat_traversal_differs(pair: PairSettings) -> Iterator[Broken]:
    """In IKEv1 NAT traversal is on at both ends or at none."""
    left, right = pair.left_gateway.nat_traversal, pair.right_gateway.nat_traversal
    if left is not right and _both_v1(pair):
        side, gateway = _without(pair, left)
        yield _only_one(pair, "NAT traversal", left, right, "nat_traversal.enabled", "the peers agree on it in phase 1",
                        f"Set gateways[{gateway.name}].nat_traversal.enabled of {side.name} to true")


@BOTH_PHASE1.rule("dead-peer-detection-differs", WARNING, f"{SEED}; RFC 3706 §5", member="dead_peer_detection.enabled")
def dead_peer_detection_differs(pair: PairSettings) -> Iterator[Broken]:
    """In IKEv1 Dead Peer Detection is on at both ends or at none."""
    left, right = pair.left_gateway.dead_peer_detection, pair.right_gateway.dead_peer_detection
    if (left is None) is not (right is None) and _both_v1(pair):
        side, gateway = _without(pair, left)
        yield _only_one(pair, "dead peer detection", left, right, "dead_peer_detection.enabled",
                        "only one end notices when the other is gone",
                        f"Set gateways[{gateway.name}].dead_peer_detection.enabled of {side.name} to true")


@BOTH_PHASE1.rule("keep-alive-differs", ERROR, SEED, member="ike_keep_alive")
def keep_alive_differs(pair: PairSettings) -> Iterator[Broken]:
    """IKE keep-alive is on at both ends or at none."""
    left, right = pair.left_gateway.keep_alive, pair.right_gateway.keep_alive
    if (left is None) is not (right is None) and _both_v1(pair):
        asks = pair.left.name if left else pair.right.name
        failures = (left or right or KeepAlive()).failures
        yield _only_one(pair, "IKE keep-alive", left, right, "ike_keep_alive",
                        f"what one end sends the other does not answer, and after {failures} failures {asks} closes "
                        "the tunnel", "Set ike_keep_alive.enabled to the same at both ends")


@BOTH_PHASE1.rule("keep-alive-between-makes", ERROR, SEED, member="ike_keep_alive")
def keep_alive_between_makes(pair: PairSettings) -> Iterator[Broken]:
    """IKE keep-alive is only between two gateways of the same make."""
    if pair.left_gateway.keep_alive is None or pair.right_gateway.keep_alive is None or not _both_v1(pair):
        return
    left, right = (hardware.make(side.platform.model, managed=side.managed) for side in (pair.left, pair.right))
    if left != right:
        yield Broken("IKE keep-alive", f"{pair.left.name} has {left}", f"{pair.right.name} has {right}",
                     "it works only between two of the same make",
                     "Remove ike_keep_alive at both ends, and set dead_peer_detection.enabled to true",
                     *_paths(pair, "ike_keep_alive"))
