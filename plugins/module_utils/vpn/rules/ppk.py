# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules on the post-quantum pre-shared key of a gateway, at one end and between both."""

from __future__ import annotations

import hmac
from collections.abc import Iterator

from .. import hardware
from ..model import Gateway, IkeVersion, Ppk, Side
from ..pairing import Pair
from .book import ERROR, FIREWARE, GATEWAY, GATEWAYS, TO_IKEV2, WARNING, Broken

SHORTEST_PPK = 32
"""Octets below which one draws a warning: RFC 8784 §6 wants 256 bits of entropy."""

_FIELD = "post-quantum pre-shared key"
_RFC = "RFC 8784"


def _path(gateway: Gateway, field: str) -> str:
    return f"gateways[{gateway.name}].credential.{field}"


@GATEWAY.rule("ppk-needs-ikev2", ERROR, _RFC, member="credential.ppk")
def ppk_needs_ikev2(side: Side, gateway: Gateway) -> Iterator[Broken]:
    """A post-quantum pre-shared key needs IKEv2."""
    if gateway.credential.ppk is not None and gateway.version is IkeVersion.V1:
        path = _path(gateway, "ppk")
        yield Broken(_FIELD, f"{side.name} has one", "", "IKEv1 mixes its pre-shared key into all others already",
                     f"Set gateways[{gateway.name}].{TO_IKEV2}, or remove {path}", path)


@GATEWAY.rule("ppk-missing", ERROR, f"{_RFC} §3", member="credential.ppk_key")
def ppk_missing(side: Side, gateway: Gateway) -> Iterator[Broken]:
    """A gateway with the identity of a post-quantum pre-shared key has that key."""
    ppk, path = gateway.credential.ppk, _path(gateway, "ppk_key")
    if ppk is not None and ppk.secret is None:
        yield Broken(_FIELD, f"{side.name} declares {ppk.id} without its key", "", "an identity only names a key",
                     f"Set {path}", path)


@GATEWAY.rule("ppk-short", WARNING, f"{_RFC} §6", member="credential.ppk_key")
def ppk_short(side: Side, gateway: Gateway) -> Iterator[Broken]:
    """A post-quantum pre-shared key has 32 octets or more."""
    ppk = gateway.credential.ppk
    if ppk is not None and ppk.secret is not None and len(ppk.secret.octets) < SHORTEST_PPK:
        yield Broken(_FIELD, f"{side.name}'s has fewer than {SHORTEST_PPK} octets", "",
                     "a quantum computer halves the bits that guessing a key takes",
                     f"Set a random key of {SHORTEST_PPK} octets or more", _path(gateway, "ppk_key"))


@GATEWAY.rule("appliance-ppk", ERROR, FIREWARE, member="credential.ppk")
def appliance_ppk(side: Side, gateway: Gateway) -> Iterator[Broken]:
    """A WatchGuard appliance has no post-quantum pre-shared key."""
    if gateway.credential.ppk is not None and hardware.is_fireware(side.platform.model):
        path = _path(gateway, "ppk")
        yield Broken(_FIELD, f"it is {gateway.credential.ppk.id}", f"{side.name}'s platform is {side.platform.model}",
                     "Fireware does not have it", f"Remove {path} at both ends", path, "site.platform")


@GATEWAYS.rule("ppk-identity-differs", ERROR, f"{_RFC} §3", member="credential.ppk")
def ppk_identity_differs(pair: Pair) -> Iterator[Broken]:
    """Both ends know the same post-quantum pre-shared key where one of them requires it."""
    left, right = _both(pair)
    if not _same(left, right) and _is_required(left, right):
        yield Broken(_FIELD, _has(pair.left, left), _has(pair.right, right),
                     "who requires it takes no peer without the same one; the peers would answer "
                     "AUTHENTICATION_FAILED", _equal(pair), *_paths(pair, "ppk"))


@GATEWAYS.rule("ppk-unused", WARNING, f"{_RFC} §3", member="credential.ppk")
def ppk_unused(pair: Pair) -> Iterator[Broken]:
    """A post-quantum pre-shared key that one end has is known to the other."""
    left, right = _both(pair)
    if not _same(left, right) and not _is_required(left, right):
        yield Broken(_FIELD, _has(pair.left, left), _has(pair.right, right),
                     "the tunnels come up without it, open to a quantum computer that comes later", _equal(pair),
                     *_paths(pair, "ppk"))


@GATEWAYS.rule("ppk-differs", ERROR, f"{_RFC} §3", member="credential.ppk_key")
def ppk_differs(pair: Pair) -> Iterator[Broken]:
    """Both ends have the same key under one identity of a post-quantum pre-shared key."""
    left, right = _both(pair)
    if left is None or right is None or left.id != right.id or left.secret is None or right.secret is None:
        return
    if not hmac.compare_digest(left.secret.octets, right.secret.octets):
        yield Broken(_FIELD, f"{pair.left.name} has one under {left.id}", f"{pair.right.name} has another",
                     "the keys must be equal; the peers would answer AUTHENTICATION_FAILED",
                     f"Set the same ppk_key in gateways[{pair.left_gateway.name}].credential of {pair.left.name} and "
                     f"gateways[{pair.right_gateway.name}].credential of {pair.right.name}", *_paths(pair, "ppk_key"))


def _both(pair: Pair) -> tuple[Ppk | None, Ppk | None]:
    """Those that IKEv2 would use."""
    if IkeVersion.V1 in (pair.left_gateway.version, pair.right_gateway.version):
        return None, None
    return pair.left_gateway.credential.ppk, pair.right_gateway.credential.ppk


def _same(left: Ppk | None, right: Ppk | None) -> bool:
    return (left and left.id) == (right and right.id)


def _is_required(*ppks: Ppk | None) -> bool:
    return any(ppk is not None and ppk.required for ppk in ppks)


def _has(side: Side, ppk: Ppk | None) -> str:
    return f"{side.name} has none" if ppk is None else f"{side.name} {'requires' if ppk.required else 'has'} {ppk.id}"


def _equal(pair: Pair) -> str:
    left, right = (f"gateways[{gateway.name}].credential of {side.name}" for side, gateway in (
        (pair.left, pair.left_gateway), (pair.right, pair.right_gateway)))
    return f"Set the same ppk.id and ppk_key in {left} and {right}, or remove ppk from both"


def _paths(pair: Pair, field: str) -> tuple[str, str]:
    return _path(pair.left_gateway, field), _path(pair.right_gateway, field)
