# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one table of algorithms.

Every name, IANA number, key size and kernel name that the collection or the daemon knows stands here and
nowhere else. Sources: the IANA registries "Internet Key Exchange Version 2 (IKEv2) Parameters" and "Internet Key
Exchange (IKE) Attributes"; RFC 2407, 2409, 3526, 3602, 4106, 4868, 5282, 5903, 7634, 8031, 9370; FIPS 203; strength
after RFC 8221, RFC 8247 and RFC 9395.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar


class Strength(Enum):
    """How much trust an algorithm deserves today. WEAK works and warns; it is never a default."""

    WEAK = "weak"
    ACCEPTABLE = "acceptable"
    STRONG = "strong"


class Use(Enum):
    """Where an algorithm may stand: an IKE SA of either version, or a Phase 2 SA of either protocol."""

    IKEV1 = "IKEv1 phase 1"
    IKEV2 = "IKEv2 phase 1"
    ESP = "ESP"
    AH = "AH"


_IKE_AND_ESP = frozenset({Use.IKEV1, Use.IKEV2, Use.ESP})
_IKEV2_AND_ESP = frozenset({Use.IKEV2, Use.ESP})
_EVERYWHERE = frozenset(Use)
_NOT_IKEV1 = _EVERYWHERE - {Use.IKEV1}


@dataclass(frozen=True, slots=True)
class Encryption:
    """An encryption algorithm. Sizes are octets unless the name says bits.

    ``key_bits`` is also the wire's Key Length attribute; ``fixed_key`` says that the attribute must not be sent.
    ``salt_size`` octets of keying material follow the key (RFC 4106 §8.1); ``icv_size`` is 0 unless ``aead``.
    """

    name: str
    key_bits: int
    ikev2_id: int
    ikev1_id: int | None
    ipsec_doi_id: int | None
    iv_size: int
    block_size: int
    icv_size: int
    salt_size: int
    aead: bool
    fixed_key: bool
    kernel_name: str
    strength: Strength
    uses: frozenset[Use]

    @property
    def key_size(self) -> int:
        return self.key_bits // 8

    @property
    def keying_size(self) -> int:
        """Octets of keying material that one direction takes, salt included."""
        return self.key_size + self.salt_size


@dataclass(frozen=True, slots=True)
class Authentication:
    """A hash: the integrity algorithm, and in IKEv2 also the PRF, that operators name by it.

    ``key_size`` and ``prf_size`` are octets, ``icv_size`` the truncated length on the wire (RFC 2404, RFC 4868).
    """

    name: str
    hash_name: str
    key_size: int
    icv_size: int
    ikev2_integrity_id: int
    ikev2_prf_id: int
    ikev1_hash_id: int
    ipsec_doi_id: int
    ah_transform_id: int
    kernel_name: str
    strength: Strength
    uses: frozenset[Use]

    @property
    def prf_size(self) -> int:
        """Octets of PRF key and output (RFC 7296 §2.13)."""
        return self.key_size


class GroupKind(Enum):
    MODP = "modp"
    ECP = "ecp"
    MONTGOMERY = "montgomery"


@dataclass(frozen=True, slots=True)
class KeyGroup:
    """A Diffie-Hellman group, known to operators by its number.

    ``public_size`` and ``secret_size`` are octets on the wire and in the key derivation.
    """

    number: int
    name: str
    kind: GroupKind
    public_size: int
    secret_size: int
    strength: Strength
    uses: frozenset[Use]


@dataclass(frozen=True, slots=True)
class KeyEncapsulation:
    """A post-quantum key exchange that stands beside a classical group (RFC 9370), never alone.

    The initiator sends ``public_size`` octets, the responder answers ``ciphertext_size``, and both hold ``secret_size``
    (FIPS 203 §8). IKEv2 only.
    """

    name: str
    ikev2_id: int
    public_size: int
    ciphertext_size: int
    secret_size: int


def _cbc(name: str, bits: int, v2: int, v1: int, doi: int, block: int, kernel: str, strength: Strength,
         fixed: bool = False) -> Encryption:
    return Encryption(name, bits, v2, v1, doi, block, block, 0, 0, False, fixed, kernel, strength, _IKE_AND_ESP)


def _aead(name: str, bits: int, v2: int, doi: int | None, kernel: str, fixed: bool = False) -> Encryption:
    return Encryption(name, bits, v2, None, doi, 8, 1, 16, 4, True, fixed, kernel, Strength.STRONG, _IKEV2_AND_ESP)


ENCRYPTIONS: tuple[Encryption, ...] = (
    _cbc("DES", 64, 2, 1, 2, 8, "cbc(des)", Strength.WEAK, fixed=True),
    _cbc("3DES", 192, 3, 5, 3, 8, "cbc(des3_ede)", Strength.WEAK, fixed=True),
    _cbc("AES-128", 128, 12, 7, 12, 16, "cbc(aes)", Strength.STRONG),
    _cbc("AES-192", 192, 12, 7, 12, 16, "cbc(aes)", Strength.STRONG),
    _cbc("AES-256", 256, 12, 7, 12, 16, "cbc(aes)", Strength.STRONG),
    _aead("AES-GCM-128", 128, 20, 20, "rfc4106(gcm(aes))"),
    _aead("AES-GCM-192", 192, 20, 20, "rfc4106(gcm(aes))"),
    _aead("AES-GCM-256", 256, 20, 20, "rfc4106(gcm(aes))"),
    _aead("ChaCha20-Poly1305", 256, 28, None, "rfc7539esp(chacha20,poly1305)", fixed=True),
)

AUTHENTICATIONS: tuple[Authentication, ...] = (
    Authentication("MD5", "md5", 16, 12, 1, 1, 1, 1, 2, "hmac(md5)", Strength.WEAK, _EVERYWHERE),
    Authentication("SHA1", "sha1", 20, 12, 2, 2, 2, 2, 3, "hmac(sha1)", Strength.WEAK, _EVERYWHERE),
    Authentication("SHA2-256", "sha256", 32, 16, 12, 5, 4, 5, 5, "hmac(sha256)", Strength.STRONG, _EVERYWHERE),
    Authentication("SHA2-384", "sha384", 48, 24, 13, 6, 5, 6, 6, "hmac(sha384)", Strength.STRONG, _EVERYWHERE),
    Authentication("SHA2-512", "sha512", 64, 32, 14, 7, 6, 7, 7, "hmac(sha512)", Strength.STRONG, _EVERYWHERE),
)


def _modp(number: int, bits: int, strength: Strength) -> KeyGroup:
    return KeyGroup(number, f"modp{bits}", GroupKind.MODP, bits // 8, bits // 8, strength, _EVERYWHERE)


def _ecp(number: int, bits: int) -> KeyGroup:
    size = (bits + 7) // 8
    return KeyGroup(number, f"ecp{bits}", GroupKind.ECP, 2 * size, size, Strength.STRONG, _EVERYWHERE)


KEY_GROUPS: tuple[KeyGroup, ...] = (
    _modp(1, 768, Strength.WEAK),
    _modp(2, 1024, Strength.WEAK),
    _modp(5, 1536, Strength.WEAK),
    _modp(14, 2048, Strength.STRONG),
    _modp(15, 3072, Strength.STRONG),
    _modp(16, 4096, Strength.STRONG),
    _ecp(19, 256),
    _ecp(20, 384),
    _ecp(21, 521),
    KeyGroup(31, "curve25519", GroupKind.MONTGOMERY, 32, 32, Strength.STRONG, _NOT_IKEV1),
    KeyGroup(32, "curve448", GroupKind.MONTGOMERY, 56, 56, Strength.STRONG, _NOT_IKEV1),
)

KEY_ENCAPSULATIONS: tuple[KeyEncapsulation, ...] = (
    KeyEncapsulation("ML-KEM-768", 36, 1184, 1088, 32),
    KeyEncapsulation("ML-KEM-1024", 37, 1568, 1568, 32),
)

SIGNATURE_HASH_IDS = {"SHA1": 1, "SHA2-256": 2, "SHA2-384": 3, "SHA2-512": 4}
IDENTITY_HASH_ID = 5
"""IANA's IKEv2 Hash Algorithms (RFC 7427 §7; RFC 8420 §2 for schemes that hash by themselves), by the table's names."""

_A = TypeVar("_A", Encryption, Authentication, KeyGroup, KeyEncapsulation)


def _folded(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _by_name(table: Iterable[_A]) -> dict[str, _A]:
    return {_folded(row.name): row for row in table}


_ENCRYPTION_BY_NAME = _by_name(ENCRYPTIONS) | {
    _folded(alias): next(row for row in ENCRYPTIONS if row.name == name)
    for alias, name in {"AES-CBC-128": "AES-128", "AES-CBC-192": "AES-192", "AES-CBC-256": "AES-256",
                        "AES128-GCM": "AES-GCM-128", "AES192-GCM": "AES-GCM-192", "AES256-GCM": "AES-GCM-256",
                        "AES": "AES-256", "AES (128-bit)": "AES-128", "AES (192-bit)": "AES-192",
                        "AES (256-bit)": "AES-256", "AES-GCM (128-bit)": "AES-GCM-128",
                        "AES-GCM (192-bit)": "AES-GCM-192", "AES-GCM (256-bit)": "AES-GCM-256"}.items()
}
_AUTHENTICATION_BY_NAME = _by_name(AUTHENTICATIONS) | {
    _folded(alias): next(row for row in AUTHENTICATIONS if row.name == name)
    for alias, name in {"SHA-1": "SHA1", "SHA256": "SHA2-256", "SHA384": "SHA2-384", "SHA512": "SHA2-512",
                        "SHA2": "SHA2-256"}.items()
}
_GROUP_BY_NUMBER = {row.number: row for row in KEY_GROUPS}
_GROUP_BY_NAME = _by_name(KEY_GROUPS) | {str(number): row for number, row in _GROUP_BY_NUMBER.items()} | {
    "x25519": _GROUP_BY_NUMBER[31], "x448": _GROUP_BY_NUMBER[32]}
_KEY_ENCAPSULATION_BY_NAME = _by_name(KEY_ENCAPSULATIONS)


def encryption(name: str) -> Encryption:
    """The encryption algorithm of that name, however it is hyphenated or cased. Raises KeyError."""
    return _ENCRYPTION_BY_NAME[_folded(name)]


def authentication(name: str) -> Authentication:
    """The authentication algorithm of that name, however it is hyphenated or cased. Raises KeyError."""
    return _AUTHENTICATION_BY_NAME[_folded(name)]


def key_group(name: str | int) -> KeyGroup:
    """The key group of that number (``14``, ``"14"``, ``"group 14"``) or name (``"modp2048"``). Raises KeyError."""
    if isinstance(name, int):
        return _GROUP_BY_NUMBER[name]
    return _GROUP_BY_NAME[_folded(name).removeprefix("group").removeprefix("diffiehellmangroup")]


def key_encapsulation(name: str) -> KeyEncapsulation:
    """The additional key exchange of that name, however it is hyphenated or cased. Raises KeyError."""
    return _KEY_ENCAPSULATION_BY_NAME[_folded(name)]


_ENCRYPTION_BY_WIRE = {(row.ikev2_id, None if row.fixed_key else row.key_bits): row for row in ENCRYPTIONS}
_INTEGRITY_BY_WIRE = {row.ikev2_integrity_id: row for row in AUTHENTICATIONS}
_PRF_BY_WIRE = {row.ikev2_prf_id: row for row in AUTHENTICATIONS}


def encryption_from_wire(identifier: int, key_bits: int | None) -> Encryption | None:
    """The row of an IKEv2 ENCR transform (RFC 7296 §3.3.2), or None where we have no such algorithm."""
    return _ENCRYPTION_BY_WIRE.get((identifier, key_bits))


def integrity_from_wire(identifier: int) -> Authentication | None:
    """The row of an IKEv2 INTEG transform (RFC 7296 §3.3.2), or None."""
    return _INTEGRITY_BY_WIRE.get(identifier)


def prf_from_wire(identifier: int) -> Authentication | None:
    """The row of an IKEv2 PRF transform (RFC 7296 §3.3.2), or None."""
    return _PRF_BY_WIRE.get(identifier)
