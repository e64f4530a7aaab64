# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong, in one sentence that names the field, the values, the rule and the change that would mend it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class Severity(Enum):
    """An ERROR stops a play before any host is touched; a WARNING never does."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule broken once.

    Between two sides ``where`` names them (``gateway hq<->branch``), ``field`` is what they disagree on, and ``left``
    and ``right`` say what each has. About a declaration's own text ``where`` is empty, ``field`` is the path
    (``gateways[branch].start``) and ``left`` says what stands there (``is 'bot'``). ``paths`` has, for each of the
    ``sites``, the path in its declaration, empty where it is the whole. No part ever holds a secret.

    ``left_path`` and ``right_path`` are the very fields that ``left`` and ``right`` speak of, wherever in a declaration
    they stand (``transforms[p1].encryption``). Between two sites the left one is the first of ``sites``; within one
    both are its own. ``source`` says whose rule it is.
    """

    code: str
    severity: Severity
    field: str
    left: str
    right: str
    rule: str
    fix: str
    where: str = ""
    sites: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    left_path: str = ""
    right_path: str = ""
    source: str = "tandem.vpn"

    @property
    def is_error(self) -> bool:
        return self.severity is Severity.ERROR

    @property
    def message(self) -> str:
        if self.where:
            return sentence(self.where, self.field, (self.left, self.right), self.rule, self.fix)
        values = ", ".join(value for value in (self.left, self.right) if value)
        subject = "".join(f"{site}: " for site in self.sites) + f"{self.field} {values}".lstrip()
        return f"{subject}: {self.rule}. {self.fix}."

    def as_dict(self) -> dict[str, object]:
        """Plain data for a module's result or a JSON report."""
        return {"code": self.code, "severity": self.severity.value, "where": self.where, "field": self.field,
                "left": self.left, "right": self.right, "left_path": self.left_path, "right_path": self.right_path,
                "rule": self.rule, "source": self.source, "fix": self.fix,
                "sites": list(self.sites), "paths": list(self.paths), "message": self.message}

    def __str__(self) -> str:
        return self.message


def sentence(where: str, field: str, values: Iterable[str], rule: str, fix: str) -> str:
    """``where: field: left, right: rule. Fix.``, of which any part but the rule may be empty."""
    parts = (where, field, ", ".join(value for value in values if value), rule)
    return ": ".join(part for part in parts if part) + (f". {fix}." if fix else "")
