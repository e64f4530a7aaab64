# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many octets and packets an SA may carry. Its life in seconds is the session's affair."""

from __future__ import annotations

import random

#: No limit, as the kernel writes it.
UNLIMITED = (1 << 64) - 1

#: Sequence numbers never wrap (RFC 4303 §3.3.3). Those of 64 bits do not come to an end.
LAST_SEQUENCE = (1 << 32) - 1

_random = random.SystemRandom()


def octet_limits(kilobytes: int | None) -> tuple[int, int]:
    """Soft and hard limits in octets. The soft one varies, so that both ends seldom rekey at the same packet."""
    if kilobytes is None:
        return UNLIMITED, UNLIMITED
    hard = kilobytes * 1024
    return int(hard * _random.uniform(0.85, 0.95)), hard


def packet_limits(extended: bool) -> tuple[int, int]:
    """Soft and hard limits in packets sent, with sequence numbers of 64 bits or of 32.

    A sixteenth of the numbers at least is left for the rekey. The soft limit varies as that of octets does.
    """
    if extended:
        return UNLIMITED, UNLIMITED
    return int(LAST_SEQUENCE * _random.uniform(0.85, 0.9375)), LAST_SEQUENCE
