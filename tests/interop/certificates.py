# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A root, an authority below it and what it issues to gateways."""

from __future__ import annotations

from collections.abc import Sequence

from tests.support import certificates
from tests.support.certificates import Issued, revocation_list

__all__ = ["Issued", "issue", "revocation_list"]

_KEYS = {"RSA": "RSA 2048", "ECDSA": "ECDSA P-256", "Ed25519": "Ed25519"}


def issue(name: str, issuer: Issued | None = None, *, authority: bool = False, kind: str = "ECDSA",
          addresses: Sequence[str] = ()) -> Issued:
    """``CN=name``, and for a gateway the organisation ``Example, Inc.``; ``kind`` is ``RSA``, ``ECDSA`` or ``Ed25519``.

    A gateway also has the domain name ``name.example``, ``gw@name.example`` and the addresses.
    """
    if authority:
        return certificates.issue(f"CN={name}", issuer, authority=True, key=_KEYS[kind])
    return certificates.issue(rf"CN={name}, O=Example\, Inc.", issuer, key=_KEYS[kind],
                              alternative=[f"{name}.example", f"gw@{name}.example", *addresses])
