# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a credential, in words. Nothing of it goes to the peer but AUTHENTICATION_FAILED."""

from __future__ import annotations

from collections.abc import Sequence

from ..vpn.model import Gateway
from ..wire.constants import AuthMethod
from .reasons import Reason

_METHODS: dict[int, str] = {
    AuthMethod.SHARED_KEY: "a pre-shared key", **dict.fromkeys((
        AuthMethod.RSA_SIGNATURE, AuthMethod.DSS_SIGNATURE, AuthMethod.ECDSA_SHA2_256_P256,
        AuthMethod.ECDSA_SHA2_384_P384, AuthMethod.ECDSA_SHA2_512_P521, AuthMethod.DIGITAL_SIGNATURE), "a certificate")}


def another_key(gateway: Gateway, peer: object, *, with_ppk: bool = False) -> Reason:
    """The proof of the peer's key is not that of ours. ``with_ppk`` says that a post-quantum one is in it as well."""
    path = f"gateways[{gateway.name}].credential"
    keys, key = ("psk and ppk_key", "pre-shared or post-quantum pre-shared key") if with_ppk else (
        "psk", "pre-shared key")
    return Reason("the keys must be equal, so the answer is AUTHENTICATION_FAILED",
                  f"Set the same {keys} in {path} and at the peer", "credential",
                  f"the peer {peer} has one {key}", "we have another", f"{path}.psk")


def another_method(gateway: Gateway, peer: object, method: int | None) -> Reason:
    """The peer proves itself by another method; ``method`` is the wire's number, None for EAP."""
    theirs = "EAP" if method is None else _METHODS.get(method, f"authentication method {method}")
    path = f"gateways[{gateway.name}].credential.method"
    return Reason("both ends need the same method, so the answer is AUTHENTICATION_FAILED",
                  f"Set {path} to what the peer has, or have the peer use {gateway.method.value}", "credential",
                  f"the peer {peer} has {theirs}",
                  f"we have method {gateway.method.value}", path)


def no_common_ppk(gateway: Gateway, peer: object, theirs: str | None) -> Reason:
    """One end requires a post-quantum pre-shared key that the other has not. ``theirs`` is what the peer names, None
    where it names none."""
    path, ppk = f"gateways[{gateway.name}].credential.ppk", gateway.credential.ppk
    ours = "we have none" if ppk is None else f"we {'require' if ppk.required else 'have'} {ppk.id}"
    return Reason("who requires it takes no peer without the same one, so the answer is AUTHENTICATION_FAILED",
                  f"Set the same {path}.id and {path}_key here and at the peer, or remove ppk from both",
                  "post-quantum pre-shared key",
                  f"the peer {peer} {'has none' if theirs is None else f'names {theirs}'}", ours, path)


def no_key(gateway: Gateway) -> Reason:
    path = f"gateways[{gateway.name}].credential.psk"
    return Reason("there is nothing to authenticate by", f"Set {path}", "credential", "", "we have no pre-shared key",
                  path)


def untrusted(gateway: Gateway, peer: object, check: str) -> Reason:
    """The peer's certificate, or its signature, does not hold; ``check`` says which check failed."""
    path = f"gateways[{gateway.name}].credential"
    return Reason(f"{check}, so the answer is AUTHENTICATION_FAILED",
                  f"Hold the peer's certificate against {path} and the identifier that is declared for the peer",
                  "credential", f"the peer {peer} has a certificate that is not trusted",
                  "we trust what comes from our ca alone", f"{path}.ca")


def only_by_address(gateway: Gateway, peer: object) -> Reason:
    """It sent a URL in its certificate's place (RFC 7296 §3.6)."""
    return Reason("a gateway that is not authenticated yet makes us fetch nothing", "Have the peer send certificates",
                  "credential", f"the peer {peer} says where its certificate can be fetched", "we need it itself",
                  f"gateways[{gateway.name}].credential")


def unusable_certificate(gateway: Gateway, check: str) -> Reason:
    """Our own is of no use; ``check`` says why."""
    path = f"gateways[{gateway.name}].credential"
    return Reason(check, f"Mend {path}", "credential", "", "we cannot authenticate ourselves", path)


def no_scheme(gateway: Gateway, peer: object, key: str) -> Reason:
    """It knows no signature that our key could make. ``key`` is as ``RSA 3072``."""
    path = f"gateways[{gateway.name}].credential.certificate"
    return Reason("no common signature (RFC 7427 §4)", f"Set {path} to one with an RSA or ECDSA key, or have the peer "
                  "announce the hash that this kind of key needs", "credential",
                  f"the peer {peer} announces no signature algorithm for it", f"our key is {key}", path)


def another_gateways_suite(meant: Gateway, candidates: Sequence[Gateway], peer: object, suite: str) -> Reason:
    """The suite was chosen before the peer said who it is, and only another gateway has it."""
    path = f"gateways[{meant.name}].transforms"
    return Reason(f"it was chosen before the peer said which of {', '.join(row.name for row in candidates)} it is",
                  f"Give these gateways the same transforms as {path}", "phase 1 transform",
                  f"the peer {peer} has {suite}", f"we do not have it for {meant.name}", path)
