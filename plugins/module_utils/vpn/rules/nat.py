# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What addresses tell of a NAT between two gateways."""

from __future__ import annotations

from enum import IntEnum

from ..model import Endpoint, EndpointPair, Gateway
from ..selectors import Address
from .likeness import private_range


def between(address: Address, other: Address) -> bool:
    """Whether a NAT hides the one from the other: it is private, and the other public."""
    return private_range(address) is not None and private_range(other) is None


class Fit(IntEnum):
    """What the address that one end has is to the one that its peer reaches for; the more, the better they fit."""

    APART = 0
    TRANSLATED = 1
    """A NAT may lie between that nobody declared: the one is private, and the other not of the same private range."""
    UNKNOWN = 2
    SAME = 3


def fit(local: Endpoint, remote: Endpoint) -> Fit:
    """Of an end as it sees itself, and as its peer does."""
    has, reaches = local.reached, remote.address
    if has is None or reaches is None:
        return Fit.UNKNOWN
    if has == reaches:
        return Fit.SAME
    own = private_range(has) if local.public_address is None else None
    return Fit.APART if own is None or own is private_range(reaches) else Fit.TRANSLATED


def is_behind(pair: EndpointPair) -> bool:
    """Whether the local end is behind a NAT, as declared or evidently."""
    local, remote = pair.local, pair.remote.address
    if local.public_address is not None:
        return local.public_address != local.address
    return local.address is not None and remote is not None and between(local.address, remote)


def pair_behind(gateway: Gateway) -> int | None:
    """The position of the first endpoint pair whose local end is behind a NAT, or None."""
    return next((index for index, pair in enumerate(gateway.endpoints) if is_behind(pair)), None)
