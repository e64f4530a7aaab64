# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A report in the Static Analysis Results Interchange Format (OASIS SARIF 2.1.0), for forges and editors."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from ..findings import Finding
from ..reading import CODES
from ..rules.book import CHAPTERS
from .judgement import Judgement, Locate, Position, counted, ends

MOST = 5_000
"""Results that are listed, errors first: as many as GitHub shows of one run."""
SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

_RFC = re.compile(r"RFC (\d+)(?: §([\d.]+))?")
_OBJECT = re.compile(r"(gateway|tunnel)s\[([^]]*)\]")


def as_sarif(judgement: Judgement, locate: Locate) -> str:
    """One run: every rule there is, and a result for each finding at the lines that it is about."""
    rules = list(_rules())
    known = {rule["id"] for rule in rules}
    rules += [_rule(code, code.replace("-", " "), "error", "", "Declaration")
              for code in sorted({finding.code for finding in judgement.findings} - known)]
    index = {rule["id"]: position for position, rule in enumerate(rules)}
    seen: Counter[str] = Counter()
    results = [_result(finding, index[finding.code], seen, locate) for finding in judgement.findings[:MOST]]
    run = {"tool": {"driver": {"name": "tandem.vpn", "rules": rules}},
           "invocations": [{"executionSuccessful": True, "toolExecutionNotifications": _notes(judgement)}],
           "columnKind": "unicodeCodePoints",
           "results": results, "properties": dict(judgement.counts)}
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _notes(judgement: Judgement) -> list[dict[str, Any]]:
    notes = [("note", f"{judgement.scope}.")]
    if len(judgement.findings) > MOST:
        notes.append(("warning", f"{counted(len(judgement.findings) - MOST, 'more finding')} are left out here."))
    return [{"level": level, "message": {"text": _plain(text)}} for level, text in notes]


def _rules() -> Iterator[dict[str, Any]]:
    for code, sentence in CODES.items():
        yield _rule(code, sentence, "error", "", "Declaration")
    for chapter in CHAPTERS:
        for rule in chapter.rules:
            yield _rule(rule.code, rule.summary, rule.severity.value, rule.source, chapter.title)


def _rule(code: str, sentence: str, level: str, source: str, chapter: str) -> dict[str, Any]:
    described = {"id": code, "shortDescription": {"text": _plain(f"{sentence}.")},
                 "help": {"text": _plain(f"{sentence}. Source: {source or 'tandem.vpn'}.")},
                 "defaultConfiguration": {"level": level},
                 "properties": {"chapter": chapter, "source": source or "tandem.vpn", "tags": ["ipsec"]}}
    if found := _RFC.search(source):
        described["helpUri"] = f"https://www.rfc-editor.org/rfc/rfc{found[1]}" + (
            f"#section-{found[2].rstrip('.')}" if found[2] else "")
    return described


def _result(finding: Finding, index: int, seen: Counter[str], locate: Locate) -> dict[str, Any]:
    """At the first end that is written in a file; the other ends are related locations."""
    places = [(site, path, locate(site, path)) for site, path in ends(finding)]
    first = next((place for place in places if place[2] is not None), places[0])
    others = [place for place in places if place is not first]
    result: dict[str, Any] = {
        "ruleId": finding.code, "ruleIndex": index, "level": finding.severity.value,
        "message": {"text": _plain(finding.message)},
        "locations": [_location(*first)],
        "partialFingerprints": {"finding/v1": _fingerprint(finding, seen)},
        "properties": {name: getattr(finding, name) for name in ("where", "field", "left", "right", "rule", "fix")},
    }
    if others:
        result["relatedLocations"] = [
            _location(*place) | {"id": number, "message": {"text": f"What {place[0]} declares"}}
            for number, place in enumerate(others)]
    return result


def _location(site: str, path: str, position: Position | None) -> dict[str, Any]:
    member = path[path.rfind("]") + 1:]
    if member:
        kind, name = "property", member.rpartition(".")[2]
    else:
        named = _OBJECT.match(path)
        kind, name = (named[1], named[2]) if named else ("site", site)
    location: dict[str, Any] = {"logicalLocations": [
        {"name": name, "fullyQualifiedName": "/".join(filter(None, (site, path))), "kind": kind}]}
    if position is not None:
        location["physicalLocation"] = {
            "artifactLocation": _artifact(position.file),
            "region": {"startLine": position.line, "startColumn": position.column}}
    return location


def _artifact(file: str) -> dict[str, str]:
    if file.startswith("/"):
        return {"uri": f"file://{quote(file)}"}
    return {"uri": quote(file), "uriBaseId": "%SRCROOT%"}


def _fingerprint(finding: Finding, seen: Counter[str]) -> str:
    """The same from run to run, whichever end comes first and whatever the values are by then."""
    parts = [finding.code, finding.field, sorted(ends(finding))]
    key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
    seen[key] += 1
    return f"{key}:{seen[key]}"


def _plain(text: str) -> str:
    """Text of a message: braces would be placeholders (§3.11.5), and brackets before a parenthesis a link (§3.11.6)."""
    return text.replace("{", "{{").replace("}", "}}").replace("](", "] (")
