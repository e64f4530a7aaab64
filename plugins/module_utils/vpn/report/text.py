# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A report to read in a terminal or a log."""

from __future__ import annotations

from .judgement import Judgement, Locate, counted

MOST = 1000
"""Findings that are listed, errors first."""


def as_text(judgement: Judgement, locate: Locate) -> str:
    """One line per finding and a last one that counts them."""
    lines = [f"{finding.severity.value}: {finding.message} [{finding.code}]" for finding in judgement.findings[:MOST]]
    if len(judgement.findings) > MOST:
        lines.append(f"and {counted(len(judgement.findings) - MOST, 'more finding')}")
    lines.append(f"{counted(len(judgement.errors), 'error')}, {counted(len(judgement.warnings), 'warning')}. "
                 f"{judgement.scope}.")
    return "\n".join(lines) + "\n"
