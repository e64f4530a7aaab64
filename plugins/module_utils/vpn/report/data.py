# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A report for programs of the user's own."""

from __future__ import annotations

import json

from ..findings import Finding
from .judgement import Judgement, Locate, ends

MOST = 10_000
"""Findings and tunnels that are listed, errors and disagreeing tunnels first; ``summary`` counts all."""


def as_json(judgement: Judgement, locate: Locate) -> str:
    """An object with ``summary``, ``findings`` and ``tunnels``."""
    return json.dumps({"summary": judgement.counts,
                       "findings": [_entry(finding, locate) for finding in judgement.findings[:MOST]],
                       "tunnels": [verdict.as_dict() for verdict in judgement.tunnels[:MOST]]}, indent=2) + "\n"


def _entry(finding: Finding, locate: Locate) -> dict[str, object]:
    positions = [locate(site, path) for site, path in ends(finding)]
    return finding.as_dict() | {"positions": [
        None if position is None else {"file": position.file, "line": position.line, "column": position.column}
        for position in positions]}
