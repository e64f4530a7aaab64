# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Distinguished names (X.501) between an operator's text and DER, and when two of them are the same.

The text has the relative names in the order of the certificate's subject, first to last, as OpenSSL and strongSwan show
them.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache

from ..vpn.identities import Attribute, relative_names
from . import der
from .der import DerError, Element, Tag

_CHARSETS = {Tag.UTF8_STRING: "utf-8", Tag.PRINTABLE_STRING: "ascii", Tag.IA5_STRING: "ascii",
             Tag.TELETEX_STRING: "latin-1", Tag.BMP_STRING: "utf-16-be", Tag.UNIVERSAL_STRING: "utf-32-be"}
_PRINTABLE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 '()+,-./:=?")
_IA5_TYPES = frozenset({"0.9.2342.19200300.100.1.25", "1.2.840.113549.1.9.1"})
"""Domain components and e-mail addresses are IA5String (RFC 5280 appendix A.1)."""
_LONGEST = 4096
"""Octets: a peer that is not authenticated yet does not keep us busy with more."""
_CACHED = 64
_SPECIAL = frozenset('"+,;<>\\')


def encode(text: str) -> bytes:
    """The name in DER. Strings are PrintableString where their characters allow it, else UTF8String, as in most
    certificates. Raises ValueError."""
    return der.sequence(der.encode(Tag.SET, *sorted(map(_encode_attribute, attributes)))
                        for attributes in relative_names(text))


def _encode_attribute(attribute: Attribute) -> bytes:
    return der.sequence((der.encode_oid(attribute.oid), _encode_value(attribute)))


def _encode_value(attribute: Attribute) -> bytes:
    if attribute.is_encoded:
        return der.element(bytes.fromhex(attribute.value[1:])).whole
    value = attribute.value.strip()
    if attribute.oid in _IA5_TYPES and value.isascii():
        return der.encode(Tag.IA5_STRING, value.encode())
    tag = Tag.PRINTABLE_STRING if _PRINTABLE.issuperset(value) else Tag.UTF8_STRING
    return der.encode(tag, value.encode())


def decode(name: bytes) -> list[list[Attribute]]:
    """The relative names, first to last. Raises DerError."""
    if len(name) > _LONGEST:
        raise DerError("a name that is longer than any")
    return [[_decode_attribute(attribute) for attribute in names.members(Tag.SET)]
            for names in der.element(name).members()]


def _decode_attribute(found: Element) -> Attribute:
    kind, value = found.members(number=2)
    try:
        text = value.body.decode(_CHARSETS[Tag(value.tag)])
    except (ValueError, KeyError):
        return Attribute(der.oid(kind), f"#{value.whole.hex()}", True)
    return Attribute(der.oid(kind), text, False)


def folded(name: bytes) -> Hashable:
    """What two names share exactly when they are the same (RFC 5280 §7.1), however their strings are typed. Raises
    DerError."""
    return tuple(tuple(sorted(attribute.folded for attribute in attributes)) for attributes in decode(name))


def same(left: bytes, right: bytes) -> bool:
    """What is no name at all is the same as none."""
    folded_left = _folded(left)
    return left == right or (folded_left is not None and folded_left == _folded(right))


@lru_cache(_CACHED)
def _folded(name: bytes) -> Hashable | None:
    """Kept, since a peer's name is held against those of all whom it may be."""
    try:
        return folded(name)
    except DerError:
        return None


def is_below(name: bytes, base: bytes) -> bool:
    """Whether the name begins with all relative names of ``base`` (RFC 5280 §4.2.1.10). Raises DerError."""
    inner, outer = folded(name), folded(base)
    assert isinstance(inner, tuple) and isinstance(outer, tuple)
    return inner[:len(outer)] == outer


def text(name: bytes) -> str:
    """As `encode` reads it, with octets that nobody could read escaped. Raises DerError."""
    return ", ".join(" + ".join(f"{attribute.short_name}={_value_text(attribute)}" for attribute in attributes)
                     for attributes in decode(name))


def _value_text(attribute: Attribute) -> str:
    if attribute.is_encoded:
        return attribute.value
    escaped = "".join(_escaped(character) for character in attribute.value)
    return rf"\{escaped}" if escaped.startswith("#") else escaped


def _escaped(character: str) -> str:
    if character in _SPECIAL:
        return f"\\{character}"
    if character.isprintable():
        return character
    return "".join(f"\\{octet:02X}" for octet in character.encode("utf-8", "surrogatepass"))
