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


def check(row: Row, payloads: Iterable[_Payload], *, refuses: bool = False) -> None:
    """Raises MalformedMessage where a payload is missing, or there too often. A message that ``refuses`` need not have
    what one that grants must."""
    seen: dict[int, int] = {}
    for payload in payloads:
        kind = payload.type
        seen[kind] = seen.get(kind, 0) + 1
    for kind, (least, most) in row.items():
        number = seen.get(kind, 0)
        if number > most or (number < least and not refuses):
            name = getattr(kind, "name", kind)
            raise MalformedMessage(f"{number} {name} payloads" if number else f"no {name} payload")
