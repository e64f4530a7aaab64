# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A report for a merge request, in GitHub Flavored Markdown, which GitLab and others read too.

Names and values come from whoever wrote the declarations, so none of their characters is left to mean anything: each
that could is a numeric character reference, which by CommonMark is never structure, and what is quoted stands in
``<code>``, where the forges look for no mentions.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import groupby

from ..findings import Finding
from .judgement import Judgement, Locate, counted, ends

MOST = 100
"""Findings of each severity that are listed; forges refuse comments of more than 65,536 characters."""
MOST_CHARACTERS = 20_000
"""Of one severity's table and details together, about."""
MOST_CODES = 20

_WHOLE = "declaration"
"""Where a finding is about nothing smaller."""

_ACTIVE = re.compile(r"[^A-Za-z0-9 ,./-]|(?<=www)\.", re.IGNORECASE)
_REFERENCE = re.compile("|".join(f"&#{ord(character)};" for character in "@#!~$%"))
"""What begins a mention or another reference on the forges, as ``_inert`` writes it."""


def as_markdown(judgement: Judgement, locate: Locate) -> str:
    """The verdict, the counts, and for each severity a table by link with the rules and fixes folded under it."""
    errors, warnings = judgement.errors, judgement.warnings
    parts = [f"## IPsec validation: {_verdict(judgement)}", _counts(judgement)]
    for findings, what in ((errors, "error"), (warnings, "warning")):
        if findings:
            parts += _section(findings, what, locate)
    return "\n\n".join(parts) + "\n"


def _verdict(judgement: Judgement) -> str:
    if judgement.errors:
        return "❌ failed"
    if not judgement.tunnels:
        return "⚠️ there are no two ends to hold against each other"
    return "⚠️ the ends agree, with warnings" if judgement.warnings else "✅ the ends agree"


def _counts(judgement: Judgement) -> str:
    agreeing = judgement.counts["agreeing"]
    agree = f"; {agreeing:,} of {len(judgement.tunnels):,} would come up" if judgement.tunnels else ""
    return (f"**{counted(len(judgement.errors), 'error')}, {counted(len(judgement.warnings), 'warning')}.** "
            f"{judgement.scope}{agree}.")


def _section(findings: Sequence[Finding], what: str, locate: Locate) -> list[str]:
    rows = ["| Sites | Where | Field | Values | Code |", "|---|---|---|---|---|"]
    details: list[str] = []
    shown = spent = 0
    for sites, group in groupby(findings[:MOST], key=_link):
        entries = []
        for finding in group:
            row, entry = _row(sites, finding), _entry(finding, locate)
            spent += len(row) + len(entry)
            if spent > MOST_CHARACTERS:
                break
            rows.append(row)
            entries.append(entry)
        shown += len(entries)
        if entries:
            details += [f"<details><summary>{_prose(sites)}: what each rule says, and what would mend it</summary>",
                        "\n".join(entries), "</details>"]
        if spent > MOST_CHARACTERS:
            break
    section = [f"### {counted(len(findings), what)}", "\n".join(rows), *details]
    return section if shown == len(findings) else [*section, _rest(findings, shown, what)]


def _rest(findings: Sequence[Finding], shown: int, what: str) -> str:
    codes = Counter(finding.code for finding in findings).most_common(MOST_CODES)
    rows = ["| Code | All in all |", "|---|---|", *(f"| {_code(code)} | {count:,} |" for code, count in codes)]
    table = "\n".join(rows)
    return f"**And {counted(len(findings) - shown, f'more {what}')}.**\n\n{table}"


def _link(finding: Finding) -> str:
    sites = sorted(finding.sites)
    return (" ↔ ".join(sites) or "all sites") if len(sites) <= 2 else f"{len(sites):,} sites"


def _row(sites: str, finding: Finding) -> str:
    values = "<br>".join(_code(value) for value in (finding.left, finding.right) if value)
    where, field = finding.where or _WHOLE, finding.field or _WHOLE
    cells = (_prose(sites), _code(where), _code(field), values, _code(finding.code))
    return f"| {' | '.join(cells)} |"


def _entry(finding: Finding, locate: Locate) -> str:
    subject = ", ".join(_code(part) for part in (finding.where, finding.field) if part) or _code(_WHOLE)
    places = [str(place) for site, path in ends(finding)[:2] if (place := locate(site, path)) is not None]
    written = f" <br>Written at {', '.join(map(_code, places))}." if places else ""
    return (f"- {subject} ({_code(finding.code)}): {_prose(finding.rule)}. "
            f"<br>**Fix:** {_prose(finding.fix)}.{written}")


def _code(text: str) -> str:
    return f"<code>{_inert(text)}</code>"


def _prose(text: str) -> str:
    """Text outside of ``<code>``: what would refer to a person or an issue is parted by a word joiner."""
    return _REFERENCE.sub(r"\g<0>&#8288;", _inert(text))


def _inert(text: str) -> str:
    printable = "".join(character if character.isprintable() else " " for character in text)
    return _ACTIVE.sub(lambda match: f"&#{ord(match[0])};", printable)
