# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Chains of payloads in pieces: of either version, whatever is in them."""

from __future__ import annotations

from struct import Struct

_GENERIC = Struct(">BBH")

Payload = tuple[int, int, bytes]
"""Type, second octet, body."""


def split(kind: int, data: bytes) -> list[Payload] | None:
    """The payloads of a chain whose lengths are right."""
    payloads, place = [], 0
    while kind:
        if place + _GENERIC.size > len(data):
            return None
        following, second, length = _GENERIC.unpack_from(data, place)
        if not _GENERIC.size <= length <= len(data) - place:
            return None
        payloads.append((kind, second, data[place + _GENERIC.size:place + length]))
        kind, place = following, place + length
    return payloads if place == len(data) else None


def joined(payloads: list[Payload]) -> tuple[int, bytes]:
    chain, following = b"", 0
    for kind, second, body in reversed(payloads):
        chain = _GENERIC.pack(following, second, _GENERIC.size + len(body)) + body + chain
        following = kind
    return following, chain
