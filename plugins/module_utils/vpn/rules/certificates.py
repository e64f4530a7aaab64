# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules on what certificates say, which only who can read them tells: the daemon, before it takes a declaration."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ..model import Gateway, Side
from .book import CERTIFICATES, ERROR, Broken

_Check = Callable[[Side, Gateway, Sequence["Doubt"]], Iterator[Broken]]


@dataclass(frozen=True, slots=True)
class Doubt:
    """What a reader of certificates found of one gateway: the ``code`` of the rule that is broken, the ``member`` of
    the gateway, and in words how and what would mend it."""

    code: str
    member: str
    how: str
    fix: str


def _rule(code: str, source: str, sentence: str) -> _Check:
    """One that is broken wherever a doubt has its code."""

    def check(side: Side, gateway: Gateway, doubts: Sequence[Doubt]) -> Iterator[Broken]:
        for doubt in doubts:
            if doubt.code == code:
                path = f"gateways[{gateway.name}].{doubt.member}"
                yield Broken("credential", doubt.how, "", sentence[0].lower() + sentence[1:].rstrip("."),
                             doubt.fix, path, ends=((side.name, path),))

    check.__doc__ = sentence
    CERTIFICATES.rule(code, ERROR, source)(check)
    return check


UNREADABLE = "certificate-unreadable"
OTHER_KEY = "private-key-of-another"
NOT_VALID = "certificate-not-valid"
OTHER_NAME = "certificate-of-another"
BROKEN_CHAIN = "certificate-chain-broken"
NO_AUTHORITY = "ca-no-authority"
UNUSABLE_LIST = "crl-unusable"
OTHER_VERSION = "certificate-not-for-ikev1"

_rule(UNREADABLE, "RFC 5280", "Certificates, revocation lists and private keys can be read, and are of kinds that are "
      "accepted.")
_rule(OTHER_KEY, "RFC 7296 §2.15", "The private key is that of the gateway's certificate.")
_rule(NOT_VALID, "RFC 4945 §5.1", "A gateway's own certificate is valid today, and made for IKE.")
_rule(OTHER_NAME, "RFC 4945 §3.1", "A gateway's own certificate holds the identifier that it presents.")
_rule(BROKEN_CHAIN, "RFC 5280 §6", "A gateway's own certificate is issued by what stands in its chain.")
_rule(NO_AUTHORITY, "RFC 5280 §4.2.1.9", "What a gateway declares as an authority is one, today.")
_rule(UNUSABLE_LIST, "RFC 5280 §6.3", "A revocation list of a declared authority is fresh, and signed by it.")
_rule(OTHER_VERSION, "RFC 2409 §5.1; RFC 4754", "IKEv1 signs with keys that it knows, RSA and ECDSA.")
