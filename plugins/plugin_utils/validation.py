# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds all sides against each other on the controller, and writes the reports."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..module_utils.vpn import rules
from ..module_utils.vpn.report import Judgement
from . import sides

MOST = 1000
"""Findings and tunnels in a task's result, errors and disagreeing tunnels first."""
MOST_SHOWN = 100
"""Sentences that Ansible prints."""


def judge(declarations: Mapping[str, Mapping[str, Any]]) -> Judgement:
    """Everything that is wrong with the sides, each alone and then against each other."""
    read, findings = sides.read(declarations)
    if findings:
        return Judgement(findings, len(declarations), None)
    validation = rules.validate(list(read.values()))
    return Judgement(validation.findings, len(read), validation.pairs)


def as_result(judgement: Judgement) -> dict[str, Any]:
    """What the task returns of it. Ansible prints ``warnings``, so that these are few."""
    return {"errors": [finding.message for finding in judgement.errors[:MOST]],
            "warnings": sentences([finding.message for finding in judgement.warnings], "warning"),
            "findings": [finding.as_dict() for finding in judgement.findings[:MOST]],
            "tunnels": [verdict.as_dict() for verdict in judgement.tunnels[:MOST]],
            "summary": judgement.counts}


def sentences(messages: list[str], what: str) -> list[str]:
    """Those that are to be printed, and how many are not."""
    rest = len(messages) - MOST_SHOWN
    if rest <= 0:
        return messages
    return [*messages[:MOST_SHOWN], f"{rest} more {what}{'s' if rest > 1 else ''}; a report has more of them."]


def write(path: Path, text: str, *, check_mode: bool = False) -> bool:
    """Make the file hold the text, all or nothing; whether it did not before. Raises OSError."""
    octets = text.encode(errors="backslashreplace")
    if path.is_file() and path.read_bytes() == octets:
        return False
    if not check_mode:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".ipsec_validate-") as folder:
            new = Path(folder, path.name)
            new.write_bytes(octets)  # a plain file, with the rights that the user's umask gives
            os.replace(new, path)
    return True
