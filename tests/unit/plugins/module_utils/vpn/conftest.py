# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two sites that mirror each other, as an operator writes them; each test bends what it is about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ikeengine.vpn import declaration, rules
from ikeengine.vpn.findings import Finding

KEY = "planted-marker-that-no-output-may-hold"
Data = dict[str, Any]


def site(name: str, peer: str, local: str, remote: str, inside: str, outside: str) -> Data:
    return {
        "site": {"name": name, "platform": "linux"},
        "transforms": [{"name": "p1", "authentication": "SHA2-256", "encryption": "AES-256", "sa_life": "24h",
                        "key_group": 14}],
        "proposals": [{"name": "p2", "protocol": "ESP", "authentication": "SHA2-256", "encryption": "AES-256",
                       "force_key_expiration": {"time": "8h", "traffic": "128000 kB"}}],
        "gateways": [{
            "name": peer, "ike_version": 2, "credential": {"method": "psk", "psk": KEY},
            "endpoints": [{"local": {"address": local,
                                     "identifier": {"type": "domain-name", "value": f"{name}.example"}},
                           "remote": {"address": remote,
                                      "identifier": {"type": "domain-name", "value": f"{peer}.example"}}}],
            "transforms": ["p1"]}],
        "tunnels": [{"name": "lan", "gateway": peer, "proposals": ["p2"],
                     "routes": [{"local": inside, "remote": outside}]}],
    }


@pytest.fixture
def hq() -> Data:
    return site("hq", "branch", "192.0.2.1", "198.51.100.1", "10.1.0.0/24", "10.2.0.0/24")


@pytest.fixture
def branch() -> Data:
    return site("branch", "hq", "198.51.100.1", "192.0.2.1", "10.2.0.0/24", "10.1.0.0/24")


@pytest.fixture
def findings(hq: Data, branch: Data) -> Callable[[], tuple[Finding, ...]]:
    """Validates the two sites as the test has bent them."""
    return lambda: rules.validate([declaration.read(hq), declaration.read(branch)]).findings


@pytest.fixture
def messages(findings: Callable[[], tuple[Finding, ...]]) -> Callable[[str], list[str]]:
    """The messages with one code, of the two sites as the test has bent them."""
    return lambda code: [finding.message for finding in findings() if finding.code == code]
