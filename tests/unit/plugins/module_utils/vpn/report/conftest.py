# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The judgement on two sites, or on as many tunnels as a test wants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ikeengine.vpn import declaration, rules
from ikeengine.vpn.findings import Finding, Severity
from ikeengine.vpn.report import Judgement

EVIL = "x|y`z*[a](http://evil.example)<img src=x onerror=alert(1)> @everyone #1 {0} &amp; \\\n\n## h"


def judged(*sites: dict[str, Any]) -> Judgement:
    validation = rules.validate([declaration.read(site) for site in sites])
    return Judgement(validation.findings, len(sites), validation.pairs)


@pytest.fixture
def judgement(hq: dict[str, Any], branch: dict[str, Any]) -> Callable[[], Judgement]:
    """Judges the two sites as the test has bent them."""
    return lambda: judged(hq, branch)


@pytest.fixture
def hostile() -> Judgement:
    """An error in which every part that can come from a declaration holds what Markdown or HTML would make much of."""
    finding = Finding("psk-differs", Severity.ERROR, EVIL, EVIL, EVIL, EVIL, EVIL, EVIL, (EVIL, "b"), ("", ""))
    return Judgement([finding], 2, ())


@pytest.fixture(scope="session")
def huge() -> Judgement:
    """A warning for each of 499,500 tunnels, and one error among them."""
    findings = [Finding("pfs-off", Severity.WARNING, "PFS", "it is off", "", "who learns phase 1's keys can read",
                        "Set pfs.enabled to true", f"tunnel s{number}/t{number}", (f"s{number}",),
                        (f"tunnels[t{number}]",))
                for number in range(499_500)]
    findings[400_000] = Finding("psk-differs", Severity.ERROR, "credential", "one", "another", "they must be equal",
                                "Set the same psk", "gateway a<->b", ("a", "b"), ("gateways[b]", "gateways[a]"))
    return Judgement(findings, 1000, ())
