# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every ansible-core remembers where the inventory's declarations are written, and finds the same."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.integration.collection.conftest import Site
from tests.integration.conftest import installed

pytestmark = pytest.mark.slow


def test_findings_stand_at_the_same_lines_with_each_release(tmp_path: Path, archive: Path, binaries: Path):
    site = Site(tmp_path / "site", installed(archive, tmp_path, binaries), None, binaries=binaries)
    (site.folder / ".git").mkdir()
    file = site.folder / "host_vars" / "branch.yml"
    file.write_text(file.read_text().replace("key_group: 14", "key_group: 19"))
    reports = [{"format": "sarif", "path": "ipsec.sarif"}, {"format": "markdown", "path": "ipsec.md"}]
    done = site.task("ipsec_validate", {"reports": reports})
    assert (done.returncode, "no host was touched" in done.stdout) == (2, True), done.stdout + done.stderr
    (run,) = json.loads((site.folder / "ipsec.sarif").read_text())["runs"]
    (result,) = run["results"]
    assert result["ruleId"] == "pfs-group-differs"
    places = [location["physicalLocation"] for location in (*result["locations"], *result["relatedLocations"])]
    for place, host in zip(places, ("hq", "branch"), strict=True):
        assert place["artifactLocation"]["uri"] == f"host_vars/{host}.yml"
        line = (site.folder / "host_vars" / f"{host}.yml").read_text().splitlines()[place["region"]["startLine"] - 1]
        assert re.match(r" +key_group: ", line)
