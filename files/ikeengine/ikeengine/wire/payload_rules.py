# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How often a message may have which payloads: what the tables of both versions consist of, and what they are for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol, TypeAlias

from .errors import MalformedMessage

#: (least, most) of each payload type. Payloads of other types may come in any number, and are skipped.
Row: TypeAlias = Mapping[int, tuple[int, int]]

ONE = (1, 1)
AT_MOST_ONE = (0, 1)


class _Payload(Protocol):
    @property
    def type(self) -> int: ...


def check(row: Row, payloads: Iterable[_Payload]) -> None:
    """Raises MalformedMessage where a payload is missing, or there too often."""
    kind = missing(row, payloads)
    if kind is not None:
        raise is_missing(kind)


def missing(row: Row, payloads: Iterable[_Payload]) -> int | None:
    """The first type of which there are too few. Raises MalformedMessage where there are too many of one."""
    kinds = [payload.type for payload in payloads]
    lacking: int | None = None
    for kind, (least, most) in row.items():
        number = kinds.count(kind)
        if number > most:
            raise MalformedMessage(f"{number} {_name(kind)} payloads")
        if number < least and lacking is None:
            lacking = kind
    return lacking


def is_missing(kind: int) -> MalformedMessage:
    return MalformedMessage(f"no {_name(kind)} payload")


def _name(kind: int) -> str:
    return str(getattr(kind, "name", kind))
