# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether to trust a peer's certificate: the path from it to a declared authority (RFC 5280 §6), strictly.

The library's own verifier is made for web servers and is younger than the oldest release that we run with.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise

from . import name_constraints
from .certificates import Certificate, RevocationList, name_text
from .errors import CertificateError, SignatureError

_LONGEST = 8
"""Certificates of a path, its authority included."""
_MOST_TRIES = 32
"""Certificates that are tried in search of one path: many of one name keep us no longer busy."""

# Any of these may be said of an IKE peer's key (RFC 4945 §5.1.3.12): anyExtendedKeyUsage; ipsecIKE; what went before
# it; and what authorities that issue for web servers put into every certificate.
_PURPOSES = frozenset({"2.5.29.37.0", "1.3.6.1.5.5.7.3.17", "1.3.6.1.5.5.8.2.2", "1.3.6.1.5.5.7.3.5",
                       "1.3.6.1.5.5.7.3.6", "1.3.6.1.5.5.7.3.7", "1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"})


def check_peer(leaf: Certificate, between: Sequence[Certificate], authorities: Sequence[Certificate],
               declared_lists: Sequence[RevocationList], sent_lists: Sequence[RevocationList], at: float) -> None:
    """Raises CertificateError, with the reason, where ``leaf`` is not good for IKE at the time ``at``.

    ``between`` may hold what does not belong to the path. A declared list that cannot be used is an error, one that
    the peer sent is left aside.
    """
    check_leaf(leaf, at)
    path = _Search(between, authorities, at).path(leaf)
    name_constraints.check(path)
    for certificate, issuer in pairwise(path):
        _check_revocation(certificate, issuer, declared_lists, sent_lists, at)


def check_leaf(leaf: Certificate, at: float) -> None:
    """What a certificate of a peer must be, whoever issued it. Raises CertificateError."""
    _check_alone(leaf, at)
    if not leaf.allows("digital_signature") and not leaf.allows("content_commitment"):
        raise CertificateError(f"certificate {leaf} is not for signatures: its key usage allows none")
    if leaf.purposes and not _PURPOSES.intersection(leaf.purposes):
        raise CertificateError(f"certificate {leaf} is not for IKE: its extended key usage has "
                               f"{', '.join(leaf.purposes[:4])} alone")


def check_authority(authority: Certificate, at: float) -> None:
    """What a declared authority must be. Raises CertificateError."""
    _check_alone(authority, at)
    _check_issuer(authority, 0)


def _check_alone(certificate: Certificate, at: float) -> None:
    if at < certificate.not_before:
        raise CertificateError(f"certificate {certificate} is not valid before {_date(certificate.not_before)}")
    if at > certificate.not_after:
        raise CertificateError(f"certificate {certificate} expired on {_date(certificate.not_after)}")
    if certificate.unknown_critical:
        raise CertificateError(f"certificate {certificate} has a critical extension that is not known here: "
                               f"{', '.join(certificate.unknown_critical[:4])}")


def _check_issuer(issuer: Certificate, below: int) -> None:
    if not issuer.authority:
        raise CertificateError(f"certificate {issuer} is no authority: its basic constraints do not say CA")
    if not issuer.allows("key_cert_sign"):
        raise CertificateError(f"certificate {issuer} is no authority: its key usage lacks the signing of certificates")
    if issuer.path_length is not None and below > issuer.path_length:
        raise CertificateError(f"certificate {issuer} allows {issuer.path_length} authorities below it, and the path "
                               f"has {below}")


class _Search:
    """One, upwards from the leaf. Of all reasons why no way led on, the one of the furthest is told."""

    def __init__(self, between: Sequence[Certificate], authorities: Sequence[Certificate], at: float) -> None:
        self._between = between
        self._authorities = authorities
        self._at = at
        self._tries = 0
        self._reason = (0, "")

    def path(self, leaf: Certificate) -> list[Certificate]:
        """From ``leaf`` to a declared authority. Raises CertificateError."""
        found = next(self._upwards([leaf]), None)
        if found is None:
            raise CertificateError(self._reason[1])
        return found

    def _upwards(self, path: list[Certificate]) -> Iterator[list[Certificate]]:
        top = path[-1]
        known = False
        for authority in self._authorities:
            if authority.subject_key == top.issuer_key:
                known = True
                if self._holds(path, authority):
                    yield [*path, authority]
        if len(path) >= _LONGEST - 1:
            self._note(path, f"the path above certificate {path[0]} is longer than {_LONGEST} certificates")
            return
        for issuer in self._between:
            if issuer.subject_key == top.issuer_key and all(issuer.der != row.der for row in path):
                known = True
                if self._holds(path, issuer):
                    yield from self._upwards([*path, issuer])
        if not known:
            self._note(path, _unknown_issuer(path))

    def _holds(self, path: list[Certificate], issuer: Certificate) -> bool:
        """Whether ``issuer`` issued the top of the path, and may have. Raises CertificateError where too many were
        asked for that."""
        top = path[-1]
        self._tries += 1
        if self._tries > _MOST_TRIES:
            raise CertificateError(f"no path above certificate {path[0]} was found in {_MOST_TRIES} tries")
        try:
            _check_alone(issuer, self._at)
            _check_issuer(issuer, sum(not row.is_self_issued for row in path[1:]))
            top.signed.verify(issuer.public)
        except CertificateError as error:
            self._note(path, str(error))
            return False
        except SignatureError as error:
            self._note(path, f"certificate {top} is not issued by {issuer} as it says: {error}")
            return False
        return True

    def _note(self, path: list[Certificate], reason: str) -> None:
        if len(path) > self._reason[0]:
            self._reason = len(path), reason


def _unknown_issuer(path: list[Certificate]) -> str:
    top = path[-1]
    if top.is_self_issued:
        return f"certificate {top} is issued by itself, and is no declared authority"
    return (f"certificate {top} is issued by {name_text(top.issuer)}, which is no declared authority, and no "
            "certificate of it was sent")


def _check_revocation(certificate: Certificate, issuer: Certificate, declared: Sequence[RevocationList],
                      sent: Sequence[RevocationList], at: float) -> None:
    """Raises CertificateError where the newest list of the issuer has it, or a declared one cannot be used."""
    newest: RevocationList | None = None
    reason = ""
    for row in (*declared, *sent):
        if row.issuer_key != issuer.subject_key:
            continue
        try:
            check_list(row, issuer, at)
        except (CertificateError, SignatureError) as error:
            if row in declared:
                reason = f"the revocation list of {issuer} cannot be used: {error}"
            continue
        if newest is None or row.this_update > newest.this_update:
            newest = row
    if newest is not None:
        revoked = newest.revoked_at(certificate.serial)
        if revoked is not None:
            raise CertificateError(f"certificate {certificate} was revoked on {_date(revoked)} by {issuer}")
    elif reason:
        raise CertificateError(reason)


def check_list(row: RevocationList, issuer: Certificate, at: float) -> None:
    """What a list must be to say anything of what ``issuer`` issued. Raises CertificateError, SignatureError."""
    if row.unknown_critical:
        raise CertificateError(f"it has a critical extension that is not known here: "
                               f"{', '.join(row.unknown_critical[:4])}")
    if not issuer.allows("crl_sign"):
        raise CertificateError("the key usage of its issuer lacks the signing of revocation lists")
    if row.next_update is None:
        raise CertificateError("it does not say until when it is fresh")
    if at > row.next_update:
        raise CertificateError(f"it expired on {_date(row.next_update)}")
    if at < row.this_update:
        raise CertificateError(f"it is not valid before {_date(row.this_update)}")
    row.verify(issuer.public)


def _date(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
