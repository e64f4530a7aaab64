# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Honest messages made hostile."""

from __future__ import annotations

import random


def mutated(rng: random.Random, data: bytes) -> bytes:
    """``data`` after a few changes: mostly octets replaced, so that much of it still means something."""
    octets = bytearray(data)
    for _change in range(rng.choice((1, 1, 1, 2, 4, 8))):
        kind = rng.randrange(8)
        if kind == 0:
            del octets[rng.randrange(len(octets) + 1):]
        elif kind == 1:
            place = rng.randrange(len(octets) + 1)
            octets[place:place] = rng.randbytes(rng.randint(1, 20))
        elif kind == 2 and octets:
            start, size = rng.randrange(len(octets)), rng.randint(1, 40)
            octets[start:start] = octets[start:start + size]
        elif octets:
            octets[rng.randrange(len(octets))] = rng.randrange(256)
    return bytes(octets)


def mutated_message(rng: random.Random, data: bytes) -> bytes:
    """The same of an IKE message, so that it gets past the first checks: mostly its length is made right, and at times
    its message ID is a small one, which may be the one that is awaited."""
    if rng.random() < 0.3:
        data = data[:20] + rng.randrange(8).to_bytes(4, "big") + data[24:]
    changed = mutated(rng, data)
    if len(changed) >= 28 and rng.random() < 0.9:
        return changed[:24] + len(changed).to_bytes(4, "big") + changed[28:]
    return changed
