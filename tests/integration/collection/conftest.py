# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection as a user has it: built, installed, and used by its full names from any directory."""

from __future__ import annotations

import copy
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.conftest import BIN
from tests.testbed import CHECKOUT
from tests.testbed.topology import Bed

MARKER = "marker-that-must-appear-nowhere"
Edit = Callable[[dict[str, Any], dict[str, Any]], None]


class Site:
    """A copy of the site-to-site example whose hosts are a bed's, or cannot be reached at all.

    ``binaries`` is the bin folder of the ansible-core that plays it.
    """

    def __init__(self, folder: Path, collections: Path, bed: Bed | None, edit: Edit | None = None,
                 binaries: Path = BIN) -> None:
        self.folder, self.binaries = folder, binaries
        shutil.copytree(CHECKOUT / "examples" / "site-to-site", folder)
        self.environment = {**os.environ, **(bed.environment if bed else {}), "ANSIBLE_NOCOLOR": "1",
                            "ANSIBLE_COLLECTIONS_PATH": str(collections),
                            "ANSIBLE_HOME": str(CHECKOUT / "build" / "ansible")}
        nowhere = {"ansible_connection": "local", "ansible_python_interpreter": "/no/host/may/be/touched"}
        there = {"ansible_user": "root", "ansible_python_interpreter": "/usr/bin/python3"}
        hosts = {name: there | {"ansible_host": address} for name, address in bed.addresses.items()} if bed else {
            "hq": nowhere, "branch": nowhere}
        self._write("inventory.yml", {"gateways": {"hosts": hosts}})
        self._write("group_vars/gateways.yml", self._read("group_vars/gateways.yml") | {"site_to_site_psk": MARKER})
        if edit:
            self.edit(edit)

    def edit(self, edit: Edit) -> None:
        """Change what the two hosts declare: ``edit(hq, branch)``, each with a copy of the shared variables."""
        shared = self._read("group_vars/gateways.yml")
        sides = [copy.deepcopy(shared) | self._read(f"host_vars/{name}.yml") for name in ("hq", "branch")]
        edit(*sides)
        for name, side in zip(("hq", "branch"), sides, strict=True):
            self._write(f"host_vars/{name}.yml", side)

    def play(self, *options: str, playbook: str = "site.yml") -> subprocess.CompletedProcess[str]:
        """Run a playbook from a directory that has nothing to do with the project."""
        argv = [str(self.binaries / "ansible-playbook"), "-i", str(self.folder / "inventory.yml"),
                str(self.folder / playbook)]
        return subprocess.run([*argv, *options], cwd="/", env=self.environment, capture_output=True, text=True,
                              check=False, timeout=180, stdin=subprocess.DEVNULL)

    def killed_at(self, task: str) -> None:
        """Run the playbook until a task of that name begins, and no further."""
        argv = [str(self.binaries / "ansible-playbook"), "-i", str(self.folder / "inventory.yml"),
                str(self.folder / "site.yml")]
        with subprocess.Popen(argv, cwd="/", env=self.environment, stdout=subprocess.PIPE, text=True,
                              stdin=subprocess.DEVNULL, start_new_session=True) as process:
            assert process.stdout is not None
            said = []
            for line in process.stdout:
                said.append(line)
                if line.startswith("TASK") and task in line:
                    os.killpg(process.pid, signal.SIGKILL)
                    return
        raise AssertionError(f"{task} never began:\n{''.join(said)}")

    def task(self, module: str, arguments: dict[str, Any], *options: str) -> subprocess.CompletedProcess[str]:
        """Run one task on hq."""
        play = {"hosts": "hq", "gather_facts": False, "tasks": [{f"tandem.vpn.{module}": arguments}]}
        self._write("task.yml", [play])
        return self.play(*options, playbook="task.yml")

    def write_play(self, name: str, tasks: list[dict[str, Any]]) -> None:
        """A playbook of these tasks on both hosts."""
        self._write(name, [{"hosts": "gateways", "gather_facts": False, "tasks": tasks}])

    def _read(self, name: str) -> Any:
        return yaml.safe_load((self.folder / name).read_text())

    def _write(self, name: str, data: Any) -> None:
        (self.folder / name).write_text(yaml.safe_dump(data, sort_keys=False))


@pytest.fixture
def site(tmp_path: Path, collections: Path, bed: Bed) -> Site:
    return Site(tmp_path / "site", collections, bed)


@pytest.fixture
def fresh(site: Site) -> Site:
    """The example on hosts that have nothing of us."""
    done = site.play("-e", "ipsec_gateway_state=absent ipsec_tunnel_state=absent")
    assert done.returncode == 0, done.stdout
    return site


@pytest.fixture
def converged(site: Site) -> Site:
    done = site.play()
    assert done.returncode == 0, done.stdout + done.stderr
    return site
