# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The payloads of one class among those of a message, in either version of IKE."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from .errors import MalformedMessage

_P = TypeVar("_P")


def first(payloads: Iterable[object], cls: type[_P]) -> _P | None:
    for payload in payloads:
        if isinstance(payload, cls):
            return payload
    return None


def require(payloads: Iterable[object], cls: type[_P]) -> _P:
    """The first; raises MalformedMessage where there is none."""
    found = first(payloads, cls)
    if found is None:
        raise MalformedMessage(f"no {cls.__name__} payload")
    return found


def all_of(payloads: Iterable[object], cls: type[_P]) -> tuple[_P, ...]:
    """In order."""
    return tuple([payload for payload in payloads if isinstance(payload, cls)])
