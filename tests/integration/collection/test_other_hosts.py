# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts without systemd, and other ways to the daemon's dependencies."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.testbed import CHECKOUT
from tests.testbed.topology import Bed

from .conftest import Site
from .test_life import TRACES, changed, on, received

pytestmark = [pytest.mark.hosts, pytest.mark.slow]


@pytest.fixture(scope="module")
def bed(able: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    """The site-to-site bed with no service manager on its hosts."""
    with Bed("nosystemd", state=tmp_path_factory.mktemp("bed"), init="sshd") as bed:
        yield bed


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    subprocess.run(["/usr/bin/python3", "-m", "pip", "download", "--quiet", "--dest", str(folder), "-r",
                    str(CHECKOUT / "files" / "ikeengine" / "requirements.txt")], check=True, capture_output=True)
    return folder


def test_the_daemon_runs_without_systemd_and_goes_without_a_trace(fresh: Site, bed: Bed):
    first = fresh.play()
    assert first.returncode == 0, first.stdout + first.stderr
    assert received(bed) == "5 received"
    assert on(bed, "hq", "ps -C ikeengine -o user=").strip() == "ikeengine"
    second = fresh.play()
    assert (second.returncode, changed(second)) == (0, {"hq": 0, "branch": 0}), second.stdout
    pid = on(bed, "hq", "pgrep -x ikeengine")
    on(bed, "hq", "rm /opt/ikeengine/current")
    assert fresh.play().returncode == 0
    assert on(bed, "hq", "pgrep -x ikeengine") != pid
    assert received(bed) == "5 received"
    absent = fresh.play("-e", "ipsec_gateway_state=absent ipsec_tunnel_state=absent")
    assert absent.returncode == 0, absent.stdout
    assert on(bed, "hq", TRACES) == ""


@pytest.mark.parametrize("dependencies", ["bundled", "venv"])
def test_a_wheel_folder_is_enough_without_any_index(fresh: Site, wheels: Path, dependencies: str):
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_EXTRA_INDEX_URL": "", "PIP_FIND_LINKS": "",
               "PIP_CONFIG_FILE": "/dev/null"}
    fresh.environment |= nowhere
    done = fresh.play("-e", f"ipsec_gateway_dependencies={dependencies} ipsec_gateway_wheel_dir={wheels}")
    assert done.returncode == 0, done.stdout + done.stderr
    again = fresh.play("-e", f"ipsec_gateway_dependencies={dependencies} ipsec_gateway_wheel_dir={wheels}")
    assert (again.returncode, changed(again)) == (0, {"hq": 0, "branch": 0}), again.stdout
