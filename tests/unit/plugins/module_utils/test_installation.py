# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the installation asks of a host, and what it leaves alone."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.tandem.vpn.plugins.module_utils import control, installation

WANTED: dict[str, Any] = {"state": "present", "supervisor": "command", "source": "s", "dependencies": "bundled",
                          "archive": None, "checksum": None, "families": []}


@pytest.fixture
def host(tmp_path, monkeypatch):
    """A host that has a release and a launcher, and whose daemon does not run; the commands that run on it."""
    commands: list[list[str]] = []

    def run_command(argv, **_options):
        commands.append(list(argv))
        return 0, '{"dataplanes": {"kernel": {}}}', ""

    def nobody(*_arguments, **_options):
        raise control.NotRunning("ikeengine is not running")

    current, launcher = tmp_path / "c0ffee", tmp_path / "ikeengine"
    current.mkdir()
    launcher.touch()
    monkeypatch.setattr(installation, "CURRENT", current)
    monkeypatch.setattr(installation, "LAUNCHERS", {launcher: "ikeengine"})
    monkeypatch.setattr(installation, "SYSCTL", tmp_path / "sysctl")
    monkeypatch.setattr(installation, "_installed", lambda identity: "c0ffee")
    monkeypatch.setattr(installation, "_has_user", lambda: True)
    monkeypatch.setattr(installation.control, "request", nobody)
    return lambda *, check_mode: (installation.converge(WANTED, check_mode, run_command), commands)


def test_what_the_host_can_do_is_tried_out_but_in_check_mode(host):
    """Trying it out makes devices, and loads modules into the kernel."""
    done, commands = host(check_mode=True)
    assert (done["abilities"], commands) == ({}, [])
    done, commands = host(check_mode=False)
    assert (done["abilities"], [argv[-1] for argv in commands]) == ({"kernel": {}}, ["--abilities"])


@pytest.mark.parametrize(("status", "stays"), [(1, True), (0, False)])
def test_absent_keeps_the_daemon_that_could_not_take_away_what_it_left(host, tmp_path, monkeypatch, status, stays):
    """Rules and policies that block outlive it, and only it knows them."""
    root = tmp_path / "opt"
    root.mkdir()
    monkeypatch.setattr(installation, "LEFT_BEHIND", (root,))
    monkeypatch.setattr(installation, "UNIT", tmp_path / "unit")

    def run_command(argv, **_options):
        return (status, "", "ikeengine: the kernel refuses\n") if argv[-1] == "--flush" else (0, "", "")

    wanted = WANTED | {"state": "absent"}
    if stays:
        with pytest.raises(installation.InstallationError, match=r"--flush failed.*: the kernel refuses\. Mend"):
            installation.converge(wanted, False, run_command)
    else:
        assert installation.converge(wanted, False, run_command)["changed"]
    assert root.exists() is stays and next(iter(installation.LAUNCHERS)).exists() is stays
