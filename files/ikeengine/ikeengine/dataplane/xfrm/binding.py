# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What binds states and policies to the device of a route-based tunnel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pyroute2.netlink import nlmsg

Attributes = list[tuple[str, Mapping[str, Any]]]

_WHOLE = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Binding:
    """An xfrm interface has the number of its states and policies as its own; a VTI marks what it sends and receives.
    Traffic without that number or mark, which is all other traffic of the host, matches none of them."""

    if_id: int = 0
    mark: int = 0

    @property
    def attributes(self) -> Attributes:
        number: Attributes = [("XFRMA_IF_ID", {"number": self.if_id})] if self.if_id else []
        return self.naming + number

    @property
    def naming(self) -> Attributes:
        """As much as is in the name of a state."""
        return [("XFRMA_MARK", {"v": self.mark, "m": _WHOLE})] if self.mark else []

    @classmethod
    def of(cls, message: nlmsg) -> Binding:
        """That of a state or a policy that the kernel listed."""
        if_id, mark = message.get_attr("XFRMA_IF_ID"), message.get_attr("XFRMA_MARK")
        return cls(if_id["number"] if if_id is not None else 0, mark["v"] if mark is not None else 0)

    def __str__(self) -> str:
        return f"if_id {self.if_id:#x}" if self.if_id else f"mark {self.mark:#x}"


UNBOUND = Binding()
