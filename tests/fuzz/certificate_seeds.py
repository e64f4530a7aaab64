# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The seeds of `certificates`, for `seeds`."""

from __future__ import annotations

from cryptography import x509
from ikeengine.asn1 import names
from ikeengine.crypto import signature_schemes

from tests.support.certificates import issue, revocation_list

from .certificates import AUTHORITY, BELOW, BELOW_IT, LIST, NAMES, SIGNED, item

_SUBJECT = "CN=branch,O=Example,C=DE"
_ALTERNATIVES = ("branch.example.net", "192.0.2.1", "ops@example.net")


def of_certificates() -> list[bytes]:
    """Good and bad certificates alone and in chains, with lists; names, and schemes."""
    found = [bytes([NAMES | 3]) + names.encode(text) for text in (_SUBJECT, "CN=x", "O=Example + OU=y,C=DE")]
    found += [bytes([NAMES]) + scheme.identifier for scheme in (
        signature_schemes.RSA_OF_HASH, *signature_schemes.ECDSA_OF_HASH.values()) if scheme.identifier]
    leaves = [issue(_SUBJECT, AUTHORITY, alternative=_ALTERNATIVES),
              issue(_SUBJECT, AUTHORITY, alternative=_ALTERNATIVES, key="Ed25519", usages=["digital_signature"]),
              issue(_SUBJECT, AUTHORITY, key="RSA 2048", purposes=["1.3.6.1.5.5.7.3.17"])]
    for place, leaf in enumerate(leaves):
        found += [bytes([place]) + item(0, leaf.der),
                  bytes([place]) + item(SIGNED, leaf.certificate.tbs_certificate_bytes)]
    between = issue("CN=below", AUTHORITY, key=BELOW_IT.key, authority=True, path_length=0,
                    permitted=["example.net", "192.0.2.0/24", _SUBJECT], excluded=["bad.example.net"])
    leaf = issue(_SUBJECT, BELOW_IT, alternative=_ALTERNATIVES)
    revoked = x509.load_pem_x509_crl(revocation_list(BELOW_IT, leaf).encode())
    none = x509.load_pem_x509_crl(revocation_list(AUTHORITY).encode())
    chain = item(SIGNED | BELOW, leaf.certificate.tbs_certificate_bytes) + item(
        SIGNED, between.certificate.tbs_certificate_bytes)
    for crls in (b"", item(LIST | SIGNED | BELOW, revoked.tbs_certlist_bytes),
                 item(LIST | SIGNED, none.tbs_certlist_bytes)):
        found += [bytes([place]) + chain + crls for place in range(4)]
    return found
