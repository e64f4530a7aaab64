# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every example of the documentation runs, and every option stands in one."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import certificates
from tests.testbed import CHECKOUT
from tests.testbed.topology import Bed

from .conftest import Site
from .examples import documented, plugins, role_options, snippets, tasks, used, variables
from .test_life import on

PLUGINS = [(kind, name) for kind in ("module", "filter", "lookup") for name in plugins(kind)]
ROLES = ("ipsec_gateway", "ipsec_tunnel")
ROOT, PARTNERS_ROOT = (certificates.issue(f"CN={name}", authority=True) for name in ("Root", "Partners' Root"))
ISSUING = certificates.issue("CN=Issuing", ROOT, authority=True)
HQ = certificates.issue("CN=hq", ISSUING, alternative=["192.0.2.2"])
#: What the examples leave to the reader.
READERS = dict.fromkeys(("vault_psk", "vault_branch_psk", "vault_new_psk", "vault_partner_ppk"),
                        "a key that is long enough to be one")
READERS["vault_hq_private_key"] = HQ.key_pem
PKI = {"hq.pem": HQ.pem, "issuing.pem": ISSUING.pem, "partners-root.pem": PARTNERS_ROOT.pem,
       "partners-root.crl": certificates.revocation_list(PARTNERS_ROOT)}
#: Compares the ends of live tunnels.
OF_BOTH = {"tandem.vpn.ipsec_proof"}
#: Ask running daemons, so the example site is deployed first.
LIVE = {"tandem.vpn.ipsec_initiate", *OF_BOTH}
#: Makes the keys of a fleet, which the example site is not.
OF_FLEETS = {"tandem.vpn.ipsec_keys"}
FLEET = {"ipsec_psk_file": "{{ inventory_dir }}/psk.yml", "ipsec_fleet": {
    "sites": {"hq": {"address": "192.0.2.2", "networks": ["10.1.0.0/24"]},
              "branch": {"address": "198.51.100.2", "networks": ["10.2.0.0/24"]}},
    "links": [{"pair": ["hq", "branch"]}]}}

SUPERVISOR = """\
#!/bin/sh -e
# Stands for a supervisor that is not systemd.
case "$1" in
  start) setsid --fork /usr/local/sbin/$2 --user ikeengine </dev/null >/var/log/supervised.log 2>&1 ;;
  stop) pkill -x "$2" ;;
esac
"""


def titled(value: object) -> str:
    return str(value)


@pytest.mark.parametrize(("kind", "name"), PLUGINS, ids=titled)
def test_every_option_stands_in_an_example(kind: str, name: str):
    assert sorted(documented(kind, name) - used(kind, name)) == []


@pytest.mark.parametrize(("kind", "name"), PLUGINS, ids=titled)
def test_no_example_gives_an_option_that_is_not_documented(kind: str, name: str):
    top = {option.partition(".")[0] for option in used(kind, name)}
    assert sorted(top - {option.partition(".")[0] for option in documented(kind, name)}) == []


@pytest.mark.parametrize("role", ROLES)
def test_every_option_of_a_role_stands_in_its_page_or_in_an_example(role: str):
    shown = set().union(*map(variables, snippets(CHECKOUT / "roles" / role / "README.md")))
    for path in (CHECKOUT / "examples").glob("*/*_vars/*.yml"):
        shown |= set(yaml.safe_load(path.read_text()))
    assert sorted(role_options(role) - shown) == []


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder ``wheels`` of an example, with what the daemon needs."""
    folder = tmp_path_factory.mktemp("controller") / "wheels"
    subprocess.run(["/usr/bin/python3", "-m", "pip", "download", "--quiet", "--dest", str(folder), "-r",
                    str(CHECKOUT / "files" / "ikeengine" / "requirements.txt")], check=True, capture_output=True)
    return folder


@pytest.fixture
def workplace(site: Site, wheels: Path) -> Site:
    """The example site, with what its reader is taken to have beside the playbook."""
    (site.folder / "wheels").symlink_to(wheels)
    (site.folder / "pki").mkdir()
    for name, text in PKI.items():
        (site.folder / "pki" / name).write_text(text)
    return site


def example(site: Site, listed: list[dict[str, Any]], hosts: str) -> list[dict[str, Any]]:
    """A play with a plugin's examples, on hosts that hold the example site's declaration at first."""
    declared = {name: f"{{{{ ipsec_{name} }}}}" for name in ("site", "transforms", "proposals", "gateways", "tunnels")}
    sides = {host: {name.removeprefix("ipsec_"): value for name, value in shared_and_own(site, host).items()
                    if name.startswith("ipsec_")} for host in ("hq", "branch")}
    before = {"name": "Hold what the example site declares", "tandem.vpn.ipsec_config": declared}
    return [{"hosts": hosts, "gather_facts": False, "vars": READERS | {"sides": sides}, "tasks": [before, *listed]}]


def shared_and_own(site: Site, host: str) -> dict[str, Any]:
    files = (site.folder / "group_vars" / "gateways.yml", site.folder / "host_vars" / f"{host}.yml")
    return {name: value for file in files for name, value in yaml.safe_load(file.read_text()).items()}


@pytest.mark.hosts
@pytest.mark.slow
@pytest.mark.parametrize(("kind", "name"), PLUGINS, ids=titled)
def test_the_examples_run(kind: str, name: str, workplace: Site):
    if name in LIVE:
        deployed = workplace.play()
        assert deployed.returncode == 0, deployed.stdout
    if name in OF_FLEETS:
        (workplace.folder / "group_vars" / "all.yml").write_text(yaml.safe_dump(FLEET))
    play = example(workplace, tasks(kind, name), "gateways" if name in OF_BOTH else "hq")
    (workplace.folder / "example.yml").write_text(yaml.safe_dump(play, sort_keys=False))
    done = workplace.play(playbook="example.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipping" not in done.stdout


@pytest.mark.hosts
@pytest.mark.slow
@pytest.mark.parametrize(("role", "number"), [
    (role, number) for role in ROLES for number, _ in enumerate(snippets(CHECKOUT / "roles" / role / "README.md"))])
def test_what_a_role_shows_runs(role: str, number: int, workplace: Site, bed: Bed):
    snippet = snippets(CHECKOUT / "roles" / role / "README.md")[number]
    for host in bed.hosts.values():
        host.put(SUPERVISOR.encode(), "/usr/local/bin/supervisorctl", mode=0o755)
    if isinstance(snippet, list):
        (workplace.folder / "example.yml").write_text(yaml.safe_dump(snippet, sort_keys=False))
        done = workplace.play(playbook="example.yml")
    else:
        gone = workplace.play("-e", "ipsec_gateway_state=absent ipsec_tunnel_state=absent")
        assert gone.returncode == 0, gone.stdout
        done = workplace.play("-e", json.dumps(snippet))
    assert done.returncode == 0, done.stdout + done.stderr
    if "ipsec_gateway_start_command" in variables(snippet):
        assert "supervised" in on(bed, "hq", "readlink /proc/$(pgrep -x ikeengine)/fd/2")
