# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings as people and as programs read them."""

from __future__ import annotations

import json
from collections.abc import Sequence

from .findings import Finding


def text(findings: Sequence[Finding]) -> str:
    """One line per finding, errors first, and a last line that counts them."""
    errors = [finding for finding in findings if finding.is_error]
    warnings = [finding for finding in findings if not finding.is_error]
    lines = [f"{finding.severity.value}: {finding.message} [{finding.code}]" for finding in (*errors, *warnings)]
    return "\n".join([*lines, f"{_counted(len(errors), 'error')}, {_counted(len(warnings), 'warning')}"])


def as_json(findings: Sequence[Finding]) -> str:
    """A JSON array of findings, in the order given."""
    return json.dumps([finding.as_dict() for finding in findings], indent=2)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
