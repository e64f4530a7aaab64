# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates for those gateways of a declaration that ask for one, each for the identifier that it presents."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from ikeengine.vpn.model import Credential, CredentialMethod, Gateway, IdentityKind, IkeVersion, Secret, Side

from tests.support.certificates import KEYS, Issued, issue


@cache
def _authorities() -> tuple[Issued, Issued]:
    root = issue("O=Example, CN=root", authority=True)
    return root, issue("O=Example, CN=middle", root, authority=True)


@cache
def _key(kind: str) -> Any:
    return KEYS[kind]()


def issued(draw: random.Random, sides: Sequence[Side]) -> list[Side]:
    """All come from one root, some through an authority below it, with keys of every kind; in IKEv1, which has no
    method for others, of one kind at both ends."""
    alike = draw.choice([kind for kind in KEYS if kind.startswith(("RSA", "ECDSA"))])
    return [replace(side, gateways=tuple(
        replace(row, credential=_credential(draw, row, alike)) if row.method is CredentialMethod.CERTIFICATE else row
        for row in side.gateways)) for side in sides]


def _credential(draw: random.Random, gateway: Gateway, alike: str) -> Credential:
    identity, (root, middle) = gateway.endpoints[0].local.identity, _authorities()
    issuer = draw.choice((root, middle))
    named = identity.kind is IdentityKind.X500_NAME
    kind = alike if gateway.version is IkeVersion.V1 else draw.choice(tuple(KEYS))
    own = issue(identity.value if named else "CN=gateway", issuer, key=_key(kind),
                alternative=() if named else (identity.value,))
    return replace(gateway.credential, secret=Secret(own.key_pem.encode()), certificate=own.pem, ca=(root.pem,),
                   chain=() if issuer is root else (middle.pem,))
