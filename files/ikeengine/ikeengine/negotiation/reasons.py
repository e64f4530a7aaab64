# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a negotiation failed: what the peer has, what we have, and what would mend it, as validation says it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ..vpn.findings import sentence


@dataclass(frozen=True, slots=True)
class Reason:
    """One sentence in validation's shape, ``where: field: theirs, ours: rule. Fix.``, of which only the rule must be
    there. ``field`` is called as validation calls it; ``path`` is where ``ours`` stands in the declaration. No part
    ever holds a secret, and what came from the network in it is of bounded length.
    """

    rule: str
    fix: str = ""
    field: str = ""
    theirs: str = ""
    ours: str = ""
    path: str = ""
    where: str = ""

    def at(self, where: str) -> Reason:
        """The same where nothing says where already."""
        return self if self.where else replace(self, where=where)

    def as_dict(self) -> dict[str, str]:
        return {"where": self.where, "field": self.field, "theirs": self.theirs, "ours": self.ours, "rule": self.rule,
                "fix": self.fix, "path": self.path, "message": str(self)}

    def __str__(self) -> str:
        return sentence(self.where, self.field, (self.theirs, self.ours), self.rule, self.fix)


def listed(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last
