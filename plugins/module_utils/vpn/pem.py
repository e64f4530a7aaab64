# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The textual form of certificates, revocation lists and keys (RFC 7468): whether it is whole, not what it says."""

from __future__ import annotations

import base64
import binascii
import re

_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----\s*(.*?)-----END \1-----", re.ASCII | re.DOTALL)
_SEQUENCE = 0x30  # the first octet of every DER structure that these blocks hold (X.690 §8.9)
_COLUMNS = 64

CERTIFICATE = "CERTIFICATE"
CRL = "X509 CRL"
PRIVATE_KEYS = ("PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY")


def blocks(text: str, *labels: str) -> tuple[str, ...]:
    """Every block of the text in canonical form; text between blocks is left out.

    Raises ValueError with a sentence that never quotes the text.
    """
    found = tuple(_canonical(label, body, labels) for label, body in _BLOCK.findall(text))
    if not found:
        raise ValueError(f"it holds no PEM block of type {' or '.join(labels)}")
    return found


def block(text: str, *labels: str) -> str:
    """The only block of the text. Raises ValueError with a sentence that never quotes it."""
    found = blocks(text, *labels)
    if len(found) > 1:
        raise ValueError(f"it holds {len(found)} PEM blocks, and one is needed here")
    return found[0]


def _canonical(label: str, body: str, labels: tuple[str, ...]) -> str:
    if label == "ENCRYPTED PRIVATE KEY" or "ENCRYPTED" in body:
        raise ValueError("the private key has a passphrase, which no gateway could be asked for at boot")
    if label not in labels:
        raise ValueError(f"it holds a PEM block of type {label}, not {' or '.join(labels)}")
    try:
        octets = base64.b64decode("".join(body.split()), validate=True)
    except binascii.Error:
        raise ValueError("its PEM block is not whole: it is no base64") from None
    if not _is_sequence(octets):
        raise ValueError("its PEM block is not whole: it is no DER structure")
    encoded = base64.b64encode(octets).decode()
    lines = (encoded[at:at + _COLUMNS] for at in range(0, len(encoded), _COLUMNS))
    return "\n".join((f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""))


def _is_sequence(octets: bytes) -> bool:
    return octets[:1] == bytes((_SEQUENCE,)) and is_element(octets)


def is_element(octets: bytes) -> bool:
    """Whether it is one DER element, whose tag is one octet and whose length (X.690 §10.1) is that of the rest."""
    if len(octets) < 2 or octets[0] & 0x1F == 0x1F:
        return False
    length, more = octets[1], 0
    if length & 0x80:
        more = length & 0x7F
        length = int.from_bytes(octets[2:2 + more], "big")
        if length < 0x80 or octets[2] == 0:
            return False
    return len(octets) == 2 + more + length
