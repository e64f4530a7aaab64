# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A hub and two spokes, defined once: from one variable to proved tunnels, with keys that nobody had to think of."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret

from tests.integration.conftest import BIN
from tests.testbed import CHECKOUT
from tests.testbed.host import Host
from tests.testbed.network import Namespace, ip
from tests.testbed.topology import Bed

from .conftest import MARKER
from .test_life import changed, on, proved, status

PASSWORD = "the vault's password"
HOSTS = ("hq", "branch", "annex")


class ThreeSites(Bed):
    """The site-to-site bed with a third site, `annex`, beside `branch`: 198.18.0.0/24 (RFC 2544) and 10.3.0.0/24."""

    LANS = (*Bed.LANS, "10.3.0.0/24")

    def __init__(self, name: str, *, state: Path) -> None:
        super().__init__(name, state=state)
        self.hosts["annex"] = Host("annex", Namespace(self.prefix + "annex"), self.folder / "annex")
        self.namespaces["lan-annex"] = Namespace(self.prefix + "lan-annex")

    def _wire(self) -> None:
        super()._wire()
        annex, lan = self.hosts["annex"].namespace, self.namespaces["lan-annex"]
        ip(f"link add wan netns {annex.name} type veth peer name wan-annex netns {self.router.name}",
           f"link add lan netns {annex.name} type veth peer name lan netns {lan.name}")
        for namespace, interface, address in ((self.router, "wan-annex", "198.18.0.1"), (annex, "wan", "198.18.0.2"),
                                              (annex, "lan", "10.3.0.1"), (lan, "lan", "10.3.0.2")):
            namespace.ip(f"address add {address}/24 dev {interface}", f"link set {interface} up")
        annex.forward()
        self.router.ip("route add 10.3.0.0/24 via 198.18.0.2")
        annex.ip("route add default via 198.18.0.1")
        lan.ip("route add default via 10.3.0.1")


class Project:
    """A copy of the example whose hosts are a bed's, or cannot be reached at all."""

    def __init__(self, folder: Path, collections: Path, bed: Bed | None) -> None:
        self.folder = folder
        shutil.copytree(CHECKOUT / "examples" / "hub-and-spoke", folder)
        (folder / "password").write_text(PASSWORD)
        self.environment = {**os.environ, **(bed.environment if bed else {}), "ANSIBLE_NOCOLOR": "1",
                            "ANSIBLE_COLLECTIONS_PATH": str(collections),
                            "ANSIBLE_HOME": str(CHECKOUT / "build" / "ansible")}
        nowhere = {"ansible_connection": "local", "ansible_python_interpreter": "/no/host/may/be/touched"}
        there = {"ansible_user": "root", "ansible_python_interpreter": "/usr/bin/python3"}
        self.write("inventory.yml", {"gateways": {"hosts": {
            host: there | {"ansible_host": bed.addresses[host]} if bed else nowhere for host in HOSTS}}})

    @property
    def keys_file(self) -> Path:
        return self.folder / "psk.yml"

    def keys(self) -> dict[str, str]:
        vault = VaultLib([("vpn", VaultSecret(PASSWORD.encode()))])
        kept: dict[str, str] = yaml.safe_load(vault.decrypt(self.keys_file.read_bytes()))
        return kept

    def write(self, name: str, data: Any) -> None:
        (self.folder / name).write_text(yaml.safe_dump(data, sort_keys=False))

    def fleet(self, **fields: Any) -> None:
        """Change fields of the definition."""
        name = "group_vars/gateways.yml"
        variables = yaml.safe_load((self.folder / name).read_text())
        variables["ipsec_fleet"] |= fields
        self.write(name, variables)

    def play(self, *options: str, vault: str = "vpn@{folder}/password") -> subprocess.CompletedProcess[str]:
        argv = [str(BIN / "ansible-playbook"), "-i", str(self.folder / "inventory.yml"), str(self.folder / "site.yml"),
                *(["--vault-id", vault.format(folder=self.folder)] if vault else [])]
        return subprocess.run([*argv, *options], cwd="/", env=self.environment, capture_output=True, text=True,
                              check=False, timeout=240, stdin=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def bed(able: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreeSites]:
    with ThreeSites(f"f{os.getpid() % 10**6}", state=tmp_path_factory.mktemp("bed")) as bed:
        yield bed


@pytest.fixture
def nowhere(tmp_path: Path, collections: Path) -> Project:
    return Project(tmp_path / "project", collections, None)


def pings(bed: Bed, source: str, target: str) -> str:
    ping = bed.namespaces[source].run(["ping", "-q", "-c", "5", "-i", "0.1", "-W", "2", target], check=False)
    return re.search(r"\d+ received", ping.stdout)[0]


@pytest.mark.hosts
@pytest.mark.slow
def test_one_definition_becomes_proved_tunnels_and_stays(tmp_path: Path, collections: Path, bed: ThreeSites):
    project = Project(tmp_path / "project", collections, bed)
    check = project.play("--check", "--diff")
    assert check.returncode == 0, check.stdout + check.stderr
    assert not project.keys_file.exists()
    assert changed(check)["hq"] >= 3 and '"gateways[annex].dead_peer_detection.idle": "1m"' in check.stdout

    first = project.play("-vvv", "--diff")
    said = first.stdout + first.stderr
    assert first.returncode == 0, said
    keys = project.keys()
    assert sorted(keys) == ["annex<->hq", "branch<->hq"]
    assert not any(key in said for key in keys.values())
    assert project.keys_file.read_bytes().startswith(b"$ANSIBLE_VAULT;1.2;AES256;vpn\n")
    assert proved(first) == 8  # two tunnels of two routes, at two ends
    for source, target in (("lan-branch", "10.1.0.2"), ("lan-branch", "10.3.0.2"), ("lan-annex", "10.2.0.2")):
        assert pings(bed, source, target) == "5 received", (source, target)

    second = project.play()
    assert (second.returncode, changed(second)) == (0, dict.fromkeys(HOSTS, 0)), second.stdout
    assert proved(second) == 8

    before = on(bed, "annex", "cat /etc/ikeengine/secrets.json")
    on(bed, "annex", "systemctl stop ikeengine; rm -r /etc/ikeengine /opt/ikeengine /etc/systemd/system/ikeengine*")
    rebuilt = project.play()
    assert rebuilt.returncode == 0, rebuilt.stdout + rebuilt.stderr
    assert (changed(rebuilt)["annex"] > 0, changed(rebuilt)["hq"], changed(rebuilt)["branch"]) == (True, 0, 0)
    assert on(bed, "annex", "cat /etc/ikeengine/secrets.json") == before and keys["annex<->hq"] in before
    assert pings(bed, "lan-annex", "10.2.0.2") == "5 received"
    assert project.keys() == keys

    spis = status(bed, "branch")["tunnels"][0]["routes"][0]["sas"]
    project.fleet(sites=project_sites(project) | {"partner": {
        "address": "198.51.100.77", "networks": ["10.7.0.0/24"], "managed": False}},
        links=[{"hub": "hq", "spokes": ["branch", "annex"], "through_hub": True}, {"pair": ["hq", "partner"]}])
    grown = project.play("-e", '{"ipsec_tunnel_proof": false}')
    assert grown.returncode == 0, grown.stdout + grown.stderr
    assert {name: key for name, key in project.keys().items() if name != "hq<->partner"} == keys
    assert len(project.keys()) == 3
    assert [tunnel["name"] for tunnel in status(bed, "hq")["tunnels"]] == ["branch", "annex", "partner"]
    assert [sa["spi_in"] for sa in status(bed, "branch")["tunnels"][0]["routes"][0]["sas"]] == [
        sa["spi_in"] for sa in spis]

    gone = project.play("-e", "ipsec_gateway_state=absent ipsec_tunnel_state=absent")
    assert gone.returncode == 0, gone.stdout + gone.stderr
    assert len(project.keys()) == 3


def project_sites(project: Project) -> dict[str, Any]:
    variables = yaml.safe_load((project.folder / "group_vars" / "gateways.yml").read_text())
    sites: dict[str, Any] = variables["ipsec_fleet"]["sites"]
    return sites


@pytest.mark.parametrize("mode", [[], ["--check", "--diff"]], ids=["run", "check"])
@pytest.mark.parametrize(("fields", "message"), [
    ({"links": [{"hub": "hq", "spokes": ["branch", "anex"]}]},
     "ipsec_fleet.links[0].spokes[1] is 'anex': no site of that name is defined. Did you mean annex?"),
    ({"gateway": {"transforms": ["p1"], "credential": {"psk": 5}}},
     "ipsec_fleet.gateway.credential.psk is no text: a pre-shared key is text"),
    ({"overrides": [{"of": "annex", "gateway": {"nat_traversal": {"enabled": False}}}]},
     "NAT traversal: it is off: IKEv2 always has it"),
], ids=["a site that is not there", "a key of the wrong shape", "what cannot be negotiated"])
def test_what_is_wrong_with_it_is_found_before_any_host_is_touched(nowhere: Project, fields, message, mode):
    nowhere.fleet(**fields)
    done = nowhere.play("-vvv", *mode)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert message in said
    assert "Install the daemon" not in said and "/no/host/may/be/touched" not in said.partition("TASK [")[2]
    assert not nowhere.keys_file.exists()


@pytest.mark.parametrize("definition", [f"psk={MARKER}", [MARKER], {"gateway": f"psk={MARKER}"},
                                        {"gateway": {"credential": f"psk={MARKER}"}},
                                        {"gateway": {"credential": {"pks": MARKER}}}])
def test_a_definition_of_the_wrong_shape_prints_no_key(nowhere: Project, definition):
    nowhere.write("group_vars/gateways.yml", {"ipsec_fleet": definition})
    done = nowhere.play("-vvv")
    assert done.returncode != 0 and "ipsec_fleet" in done.stdout + done.stderr
    assert MARKER not in done.stdout + done.stderr


@pytest.mark.parametrize(("vault", "message"), [
    ("", "ipsec_psk_vault_id is 'vpn': this run has no vault secret of that id; it has none."),
    ("vnp@{folder}/password", "this run has no vault secret of that id; it has vnp."),
], ids=["none", "another"])
def test_keys_that_could_not_be_kept_are_not_made(nowhere: Project, vault: str, message: str):
    done = nowhere.play(vault=vault)
    assert done.returncode != 0 and message in done.stdout + done.stderr
    assert "Install the daemon" not in done.stdout
    assert not nowhere.keys_file.exists()


def test_keys_that_cannot_be_decrypted_are_an_error_before_anything_changes(nowhere: Project):
    nowhere.keys_file.write_bytes(VaultLib().encrypt("a<->b: c\n", VaultSecret(b"another password"), "vpn"))
    before = nowhere.keys_file.read_bytes()
    done = nowhere.play()
    said = done.stdout + done.stderr
    assert done.returncode != 0 and "cannot be decrypted: it is encrypted under the vault id vpn" in said
    assert "Install the daemon" not in said
    assert nowhere.keys_file.read_bytes() == before
