# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What to enter at a peer that nobody manages, written on the controller with no host in reach."""

import re
import stat
from pathlib import Path

import pytest
import yaml

from tests.testbed import CHECKOUT

from .conftest import MARKER, Site
from .test_life import changed


@pytest.fixture
def nowhere(tmp_path: Path, collections: Path) -> Site:
    return Site(tmp_path / "site", collections, None)


def written(folder: Path) -> dict[str, str]:
    """Every file below the folder, and its mode."""
    return {str(path.relative_to(folder)): stat.filemode(path.stat().st_mode)
            for path in folder.rglob("*") if path.is_file()}


def test_strongswans_side_of_the_example(nowhere: Site):
    options = {"site": "branch", "dest": "peers"}
    check = nowhere.task("ipsec_render", options, "--check", "--diff")
    assert (changed(check), (nowhere.folder / "peers").exists()) == ({"hq": 1}, False)
    assert "local_ts = 10.2.0.0/24" in check.stdout
    done = nowhere.task("ipsec_render", options, "--diff", "-vvv")
    assert changed(done) == {"hq": 1}
    assert written(nowhere.folder / "peers") == {"swanctl.conf": "-rw-r--r--", "conf.d/secrets.conf": "-rw-------"}
    key = MARKER.encode().hex()
    assert key in (nowhere.folder / "peers/conf.d/secrets.conf").read_text()
    for secret in (MARKER, key):
        assert secret not in done.stdout + done.stderr + (nowhere.folder / "peers/swanctl.conf").read_text()
    assert changed(nowhere.task("ipsec_render", options)) == {"hq": 0}
    (nowhere.folder / "peers/conf.d/secrets.conf").chmod(0o644)
    assert changed(nowhere.task("ipsec_render", options)) == {"hq": 1}
    assert written(nowhere.folder / "peers")["conf.d/secrets.conf"] == "-rw-------"


def test_a_firebox_by_its_platform_and_the_far_end_of_a_gateway(nowhere: Site):
    nowhere.edit(lambda _hq, branch: branch.update(ipsec_site={"platform": "Firebox T45", "managed": False}))
    assert changed(nowhere.task("ipsec_render", {"site": "branch", "dest": "peers"})) == {"hq": 1}
    assert written(nowhere.folder / "peers") == {"firebox.md": "-rw-r--r--", "firebox-keys.txt": "-rw-------"}
    assert "| Gateway Endpoint: Remote Gateway, Static IP Address | 192.0.2.2 |" in (
        nowhere.folder / "peers/firebox.md").read_text()
    far = nowhere.task("ipsec_render", {"gateway": "branch", "format": "firebox", "dest": "partner"})
    assert changed(far) == {"hq": 1}
    assert "## VPN > Branch Office VPN > Gateways: hq" in (nowhere.folder / "partner/firebox.md").read_text()


def test_the_page_on_peers_is_true(nowhere: Site):
    fleet, play = (yaml.safe_load(block) for block in re.findall(
        r"```yaml\n(.*?)```", (CHECKOUT / "docs" / "peers.md").read_text(), re.DOTALL))
    for host in ("hq", "branch"):
        (nowhere.folder / "host_vars" / f"{host}.yml").write_text("{}")
    (nowhere.folder / "group_vars" / "gateways.yml").write_text(yaml.safe_dump(fleet))
    (nowhere.folder / "task.yml").write_text(yaml.safe_dump(play))
    done = nowhere.play("--diff", playbook="task.yml")
    assert changed(done) == {"hq": 3}, done.stdout
    assert written(nowhere.folder / "peers") == {
        "plant/firebox.md": "-rw-r--r--", "plant/firebox-keys.txt": "-rw-------",
        "office/swanctl.conf": "-rw-r--r--", "office/conf.d/secrets.conf": "-rw-------"}
    name, key = (nowhere.folder / "peers/plant/firebox-keys.txt").read_text().strip().split(": ")
    assert (name, len(key)) == ("hq", 64) and key not in done.stdout
    assert changed(nowhere.play(playbook="task.yml")) == {"hq": 0}


@pytest.mark.parametrize(("options", "message"), [
    ({"site": "nowhere", "dest": "x"}, "site is 'nowhere': it is no site of ipsec_fleet, and no host of that name"),
    ({"gateway": "partner", "dest": "x"}, "gateway is 'partner': hq declares no gateway of that name. Write one of"),
    ({"dest": "/proc/x"}, "dest /proc/x cannot be written"),
])
def test_what_cannot_be_rendered_is_said(nowhere: Site, options: dict[str, str], message: str):
    done = nowhere.task("ipsec_render", options)
    assert done.returncode != 0
    assert message in " ".join((done.stdout + done.stderr).split())
    assert MARKER not in done.stdout + done.stderr
