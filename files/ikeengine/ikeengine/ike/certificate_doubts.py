# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a gateway's declared certificates, found by reading them before anybody negotiates with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import ParamSpec, TypeVar

from ..crypto import certification_path
from ..crypto.certificates import Certificate, RevocationList, certificate_from_pem, revocation_list_from_pem
from ..crypto.errors import CertificateError, SignatureError
from ..crypto.signature_schemes import KeyKind
from ..crypto.signatures import NEEDS_NEWER_LIBRARY, PrivateKey, load_private_key
from ..vpn.model import CredentialMethod, Gateway, IkeVersion
from ..vpn.rules.certificates import (
    BROKEN_CHAIN,
    NO_AUTHORITY,
    NOT_VALID,
    OTHER_KEY,
    OTHER_NAME,
    OTHER_VERSION,
    UNREADABLE,
    UNUSABLE_LIST,
    Doubt,
)
from .credentials import check_name

_P = ParamSpec("_P")
_T = TypeVar("_T")
_V = TypeVar("_V", str, bytes)


def doubts(gateway: Gateway, at: float | None) -> list[Doubt]:
    """All that is wrong with them at the Unix time ``at``. Without a time, only what no time mends: a daemon starts
    though a certificate expired since it was declared, and its other gateways are none the worse."""
    return list(_Reading(gateway, at).doubts()) if gateway.method is CredentialMethod.CERTIFICATE else []


class _Reading:
    """Of one credential. What cannot be read is in doubt once, and left out of the rest."""

    def __init__(self, gateway: Gateway, at: float | None) -> None:
        self._gateway = gateway
        self._at = at
        self._unreadable: list[Doubt] = []
        credential = gateway.credential
        self._own = self._read("certificate", credential.certificate, certificate_from_pem)
        secret = None if credential.secret is None else credential.secret.octets
        self._key: PrivateKey | None = self._read("private_key", secret, load_private_key)
        self._chain = self._read_all("chain", credential.chain, certificate_from_pem)
        self._authorities = self._read_all("ca", credential.ca, certificate_from_pem)
        self._lists = self._read_all("crl", credential.crl, revocation_list_from_pem)

    def _read(self, field: str, value: _V | None, read: Callable[[_V], _T]) -> _T | None:
        if value is None:
            return None  # that it is missing, other rules say
        try:
            return read(value)
        except CertificateError as error:
            self._unreadable.append(self._doubt(UNREADABLE, field, str(error), "Set it to another"))
            return None

    def _read_all(self, field: str, values: Sequence[str], read: Callable[[str], _T]) -> dict[str, _T]:
        """By the field of each."""
        found = ((f"{field}[{index}]", self._read(f"{field}[{index}]", value, read))
                 for index, value in enumerate(values))
        return {place: value for place, value in found if value is not None}

    def doubts(self) -> Iterator[Doubt]:
        yield from self._unreadable
        if self._own is not None:
            yield from self._of_own(self._own)
        if self._at is not None:
            for field, authority in self._authorities.items():
                yield from self._unless(NO_AUTHORITY, field, "Set it to the authority's certificate that is in force",
                                        certification_path.check_authority, authority, self._at)
            for field, row in self._lists.items():
                yield from self._of_list(field, row, self._at)

    def _of_own(self, own: Certificate) -> Iterator[Doubt]:
        if self._key is not None and self._key.public.spki != own.public.spki:
            yield self._doubt(OTHER_KEY, "private_key", f"the private key ({self._key.public.name}) is not that of "
                              f"certificate {own} ({own.public.name})", "Set both to those of one pair")
        for pair in self._gateway.endpoints:
            yield from self._unless(OTHER_NAME, "certificate", "Declare an identifier that it holds, at both ends, or "
                                    "have one issued that holds it", check_name, own, pair.local.identity)
        if self._gateway.version is IkeVersion.V1:
            yield from self._of_ikev1(own)
        if self._chain:
            yield from self._unless(BROKEN_CHAIN, "chain", "Set it to the certificates between the own one and its "
                                    "root", self._check_chain, own)
        if self._at is not None:
            yield from self._unless(NOT_VALID, "certificate", "Set it to one that is in force",
                                    certification_path.check_leaf, own, self._at)

    def _of_ikev1(self, own: Certificate) -> Iterator[Doubt]:
        if own.public.ikev1_scheme is None:
            yield self._doubt(OTHER_VERSION, "certificate", f"the key of certificate {own} is {own.public.name}",
                              "Set it to one with an RSA or ECDSA key, or have the gateway use IKEv2")
        elif own.public.kind is KeyKind.RSA and NEEDS_NEWER_LIBRARY:
            yield self._doubt(OTHER_VERSION, "certificate", f"the key of certificate {own} is {own.public.name}, and "
                              f"{NEEDS_NEWER_LIBRARY}", "Take the dependencies that come with ikeengine, or have the "
                              "gateway use IKEv2")

    def _check_chain(self, own: Certificate) -> None:
        """Raises CertificateError where nothing in the chain issued ``own``."""
        above = [row for row in self._chain.values() if row.subject_key == own.issuer_key]
        if not above:
            raise CertificateError(f"nothing in the chain is the issuer of certificate {own}")
        for row in above:
            try:
                own.signed.verify(row.public)
            except SignatureError as error:
                failed = error
            else:
                return
        raise CertificateError(f"certificate {own} is not issued by {above[-1]} as it says: {failed}")

    def _of_list(self, field: str, row: RevocationList, at: float) -> Iterator[Doubt]:
        issuers = [one for one in (*self._authorities.values(), *self._chain.values())
                   if one.subject_key == row.issuer_key]
        found = [doubt for issuer in issuers for doubt in self._unless(
            UNUSABLE_LIST, field, "Set it to the list that its issuer has in force",
            certification_path.check_list, row, issuer, at)]
        if issuers and len(found) == len(issuers):
            yield found[0]

    def _unless(self, code: str, field: str, fix: str, check: Callable[_P, None], *args: _P.args,
                **more: _P.kwargs) -> Iterator[Doubt]:
        try:
            check(*args, **more)
        except (CertificateError, SignatureError) as error:
            yield self._doubt(code, field, str(error), fix)

    def _doubt(self, code: str, field: str, how: str, fix: str) -> Doubt:
        path = f"gateways[{self._gateway.name}].credential.{field}"
        return Doubt(code, f"credential.{field}", how, fix.replace("Set it", f"Set {path}"))
