# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A route that one side only may open, as an operator declares it, edits it and takes it away."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

pytestmark = pytest.mark.hosts

Site = Any  # of conftest.py, which importlib mode keeps out of reach


def declare(site: Site, direction: str, mirrored: str) -> None:
    for node, other, way, options in ((site.hq, site.branch, direction, {}),
                                      (site.branch, site.hq, mirrored, {"start": "answer"})):
        node.declare(other, **options)
        file = node.directory / "declaration.json"
        declared = json.loads(file.read_text())
        declared["tunnels"][0]["routes"][0]["direction"] = way
        file.write_text(json.dumps(declared))


def received(node: Any, other: Any) -> bool:
    return " 0% packet loss" in node.ping(other).stdout


def ruleset(node: Any) -> str:
    return subprocess.run(node.command("nft", "list", "ruleset"), capture_output=True, text=True, check=True).stdout


def test_a_direction_is_kept_and_counted_and_goes_with_a_reload(site: Site) -> None:
    declare(site, "local-to-remote", "remote-to-local")
    site.branch.start()
    site.hq.start()
    site.hq.ask("up", "branch")
    site.branch.ask("up", "hq")
    assert received(site.hq, site.branch) and not received(site.branch, site.hq)
    assert site.branch.ask("status")["counters"]["packets_dropped"]["wrong_direction"] == 3
    assert site.branch.ask("status")["tunnels"][0]["routes"][0]["declared"]["direction"] == "remote-to-local"

    declare(site, "both", "both")
    for node in (site.branch, site.hq):
        assert json.loads(node.reload().stdout)["changed"] == ["tunnel lan"]
    site.hq.ask("up", "branch")
    site.branch.ask("up", "hq")
    assert received(site.branch, site.hq) and "ct direction" not in ruleset(site.branch)
    assert site.branch.stop() == 0 and "ikeengine-userspace" in ruleset(site.branch)
    assert site.branch.run_daemon("--flush").returncode == 0
    assert ruleset(site.branch) == ""
    site.hq.ask("flush")
    assert ruleset(site.hq) == ""
