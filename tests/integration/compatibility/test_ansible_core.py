# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every ansible-core that the collection says it runs with deploys the same, and finds it unchanged."""

from __future__ import annotations

import re

import pytest

from tests.integration.collection.conftest import MARKER, Site
from tests.integration.collection.test_life import changed, on, received
from tests.testbed.topology import Bed

pytestmark = [pytest.mark.hosts, pytest.mark.slow]

UNCHANGED = {"hq": 0, "branch": 0}
COMPLAINT = re.compile(r"\[(?:WARNING|DEPRECATION WARNING|ERROR)\]|Traceback")


def test_the_example_converges_with_each_release(other: Site, deployed: Bed):
    """What another release deployed is what this one wants; without it, it deploys the same."""
    check = other.play("--check", "--diff")
    assert (check.returncode, changed(check)) == (0, UNCHANGED), check.stdout + check.stderr
    for host in deployed.hosts:
        on(deployed, host, "systemctl stop ikeengine; rm -r /etc/ikeengine /opt/ikeengine")
    first = other.play()
    assert first.returncode == 0, first.stdout + first.stderr
    assert min(changed(first).values()) > 0
    assert received(deployed) == "5 received"
    second = other.play()
    assert (second.returncode, changed(second)) == (0, UNCHANGED), second.stdout + second.stderr
    for done in (check, first, second):
        assert not COMPLAINT.search(done.stdout + done.stderr), done.stdout + done.stderr
    refused = other.task("ipsec_gateway", {"name": "branch", "credential": {"psk": [MARKER]}, "endpoints": []}, "-vvv")
    assert refused.returncode != 0
    assert MARKER not in refused.stdout + refused.stderr
