# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What addresses tell of a NAT between two gateways."""

from __future__ import annotations

from ..model import Gateway
from ..selectors import Address
from .likeness import is_private


def between(address: Address, other: Address) -> bool:
    """Whether a NAT hides the one from the other: it is private, and the other public."""
    return is_private(address) and not is_private(other)


def pair_behind(gateway: Gateway) -> int | None:
    """The position of the first endpoint pair whose local end is evidently behind a NAT, or None."""
    for index, pair in enumerate(gateway.endpoints):
        local, remote = pair.local.address, pair.remote.address
        if local is not None and remote is not None and between(local, remote):
            return index
    return None
