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
    AuthMethod.SHARED_KEY: "a pre-shared key"}


def another_key(gateway: Gateway, peer: object) -> Reason:
    """The proof of the peer's key is not that of ours."""
    path = f"gateways[{gateway.name}].credential"
    return Reason("the keys must be equal, so the answer is AUTHENTICATION_FAILED",
                  f"Set the same psk in {path} and at the peer", "credential",
                  f"the peer {peer} has one pre-shared key", "we have another", f"{path}.psk")


def another_method(gateway: Gateway, peer: object, method: int) -> Reason:
    """The peer proves itself by another method; ``method`` is the wire's number."""
    path = f"gateways[{gateway.name}].credential.method"
    return Reason("both ends need the same method, so the answer is AUTHENTICATION_FAILED",
                  f"Set {path} to what the peer has, or have the peer use {gateway.method.value}", "credential",
                  f"the peer {peer} has {_METHODS.get(method, f'authentication method {method}')}",
                  f"we have method {gateway.method.value}", path)


def no_key(gateway: Gateway) -> Reason:
    path = f"gateways[{gateway.name}].credential.psk"
    return Reason("there is nothing to authenticate by", f"Set {path}", "credential", "", "we have no pre-shared key",
                  path)


def another_gateways_suite(meant: Gateway, candidates: Sequence[Gateway], peer: object, suite: str) -> Reason:
    """The suite was chosen before the peer said who it is, and only another gateway has it."""
    path = f"gateways[{meant.name}].transforms"
    return Reason(f"it was chosen before the peer said which of {', '.join(row.name for row in candidates)} it is",
                  f"Give these gateways the same transforms as {path}", "phase 1 transform",
                  f"the peer {peer} has {suite}", f"we do not have it for {meant.name}", path)
