# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What hosts declare, from lists of their own, from a fleet, or from both, as Ansible's own variables give it."""

import time

import pytest
import yaml
from ansible.errors import AnsibleError
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultSecret
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager
from ansible_collections.tandem.vpn.plugins.module_utils.vpn import rules
from ansible_collections.tandem.vpn.plugins.plugin_utils import sides
from ansible_collections.tandem.vpn.plugins.plugin_utils.fleets import Variables

FLEET = {
    "gateway": {"transforms": ["p1"]}, "transforms": [{"name": "p1"}],
    "sites": {"hq": {"address": "192.0.2.1", "networks": ["10.1.0.0/24"]},
              "east": {"address": "198.51.100.1", "networks": ["10.2.0.0/24"]},
              "partner": {"address": "203.0.113.1", "networks": ["10.3.0.0/24"], "managed": False}},
    "links": [{"hub": "hq", "spokes": "all"}],
}


class Project:
    """An inventory in a folder, as ``hostvars`` and the loader of a play see it."""

    def __init__(self, folder):
        self.folder = folder
        self.secrets = []
        self.write("inventory.yml", {"all": {"hosts": {"hq": None, "east": None}}})
        self.write("group_vars/all.yml", {"ipsec_fleet": FLEET, "ipsec_psk_file": "psk.yml"})

    def write(self, name, data):
        (self.folder / name).parent.mkdir(exist_ok=True)
        (self.folder / name).write_text(yaml.safe_dump(data))

    def open(self):
        self.loader = DataLoader()
        self.loader.set_basedir(str(self.folder))
        self.loader.set_vault_secrets(self.secrets)
        inventory = InventoryManager(self.loader, [str(self.folder / "inventory.yml")])
        manager = VariableManager(self.loader, inventory)
        return HostVars(inventory, manager, self.loader)

    def everyone(self):
        hostvars = self.open()
        return sides.read(sides.declared_by_all(hostvars, list(hostvars), self.loader))

    def of_host(self, host, *, check_mode=False):
        hostvars = self.open()
        return sides.of_host(Variables.of(hostvars, host), self.loader, check_mode=check_mode)

    def make(self, *, renew=(), check_mode=False):
        hostvars = self.open()
        return sides.make_keys(hostvars, list(hostvars), self.loader, renew=renew, check_mode=check_mode)


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


def test_the_sites_of_a_fleet_are_the_hosts_of_their_names_and_the_others_are_peers(project):
    read, findings = project.everyone()
    assert (sorted(read), findings) == (["east", "hq", "partner"], [])
    assert [side.managed for _name, side in sorted(read.items())] == [True, True, False]
    assert rules.validate(list(read.values())).findings == ()
    assert not (project.folder / "psk.yml").exists()


def test_a_managed_site_that_is_no_host_is_an_error(project):
    project.write("inventory.yml", {"all": {"hosts": {"hq": None}}})
    _read, findings = project.everyone()
    assert [str(finding) for finding in findings] == [
        "ipsec_fleet.sites[east] is no host of the inventory: a site that Ansible manages is the host of its name. "
        "Add the host east to the inventory, or set managed: false for a site that somebody else configures."]


def test_a_managed_site_whose_host_does_not_see_the_fleet_is_an_error(project):
    """It would declare nothing, and its peers would wait for it."""
    project.write("group_vars/all.yml", {})
    project.write("host_vars/hq.yml", {"ipsec_fleet": FLEET, "ipsec_psk_file": "psk.yml"})
    _read, findings = project.everyone()
    assert [str(finding) for finding in findings] == [
        "ipsec_fleet.sites[east] is a host that has no ipsec_fleet: a site that Ansible manages takes its part of it. "
        "Set ipsec_fleet where east has it too, as in group_vars, or set managed: false for a site that somebody else "
        "configures."]
    fleet = {**FLEET, "sites": {**FLEET["sites"], "east": {**FLEET["sites"]["east"], "managed": False}}}
    project.write("host_vars/hq.yml", {"ipsec_fleet": fleet, "ipsec_psk_file": "psk.yml"})
    read, findings = project.everyone()
    assert (sorted(read), findings) == (["east", "hq", "partner"], [])


def test_a_fleet_that_cannot_be_read_is_said_once(project):
    project.write("group_vars/all.yml", {"ipsec_fleet": FLEET | {"lnks": []}, "ipsec_psk_file": "psk.yml"})
    _read, (finding,) = project.everyone()
    assert str(finding).startswith("ipsec_fleet.lnks is unknown: ")
    with pytest.raises(AnsibleError, match=r"ipsec_fleet.lnks is unknown"):
        project.of_host("hq")


def test_a_host_has_its_part_of_the_fleet_with_the_keys_that_are_kept(project):
    with pytest.raises(AnsibleError, match=r"hq: .*psk.yml \(ipsec_psk_file\) has no key for east<->hq, hq<->partner"):
        project.of_host("hq")
    assert project.make() == {"changed": True, "made": ["east<->hq", "hq<->partner"],
                              "files": [str(project.folder / "psk.yml")]}
    assert project.make()["changed"] is False
    kept = yaml.safe_load((project.folder / "psk.yml").read_text())
    hq, east = project.of_host("hq"), project.of_host("east")
    assert hq["gateways"][0]["credential"] == east["gateways"][0]["credential"] == {
        "method": "psk", "psk": kept["east<->hq"]}
    assert (hq["site"]["name"], hq["policy"], hq["shared_transforms"]) == ("hq", "standard", [])
    assert [tunnel["routes"][0]["remote"] for tunnel in hq["tunnels"]] == ["10.2.0.0/24", "10.3.0.0/24"]


def test_in_check_mode_a_stand_in_is_the_same_at_both_ends_and_for_validation(project):
    assert project.make(check_mode=True)["made"] == ["east<->hq", "hq<->partner"]
    keys = {project.of_host(host, check_mode=True)["gateways"][0]["credential"]["psk"] for host in ("hq", "east")}
    assert len(keys) == 1
    read, _findings = project.everyone()
    assert read["hq"].gateways[0].credential.secret.octets.decode() in keys
    assert list(project.folder.glob("psk*")) == []


def test_without_a_file_for_its_keys_a_fleet_is_an_error_that_says_so(project):
    project.write("group_vars/all.yml", {"ipsec_fleet": FLEET})
    _read, (finding,) = project.everyone()
    assert str(finding).startswith("ipsec_psk_file is missing: 2 links of ipsec_fleet (east<->hq, ...) need a key that "
                                   "is made and kept on the controller. Set ipsec_psk_file")
    with pytest.raises(AnsibleError, match="ipsec_psk_file is missing"):
        project.make()
    given = FLEET | {"gateway": {"transforms": ["p1"], "credential": {"psk": "a key that the definition gives"}}}
    project.write("group_vars/all.yml", {"ipsec_fleet": given})
    assert project.everyone()[1] == [] and project.make()["changed"] is False
    assert project.of_host("east")["gateways"][0]["credential"]["psk"] == "a key that the definition gives"


@pytest.mark.parametrize("name", ["ipsec_psk_file", "ipsec_psk_vault_id"])
@pytest.mark.parametrize(("value", "state"), [(["a"], "is a list"), ({"a": 1}, "is a mapping"), (5, "is a number"),
                                              (True, "is yes or no")])
def test_what_is_no_text_is_named_with_its_host_and_nothing_is_made(project, name, value, state):
    project.write("host_vars/east.yml", {name: value})
    message = f"east: {name} {state}: text is needed here. Write it as text, in quotes."
    assert [str(finding) for finding in project.everyone()[1]] == [message]
    for use in (project.make, lambda: project.of_host("east")):
        with pytest.raises(AnsibleError) as caught:
            use()
        assert str(caught.value) == message
    assert [path.name for path in project.folder.iterdir() if path.is_file()] == ["inventory.yml"]


@pytest.mark.parametrize(("of_hq", "message"), [
    ({"ipsec_psk_file": "other.yml"},
     "ipsec_psk_file: east has {folder}/psk.yml, hq has {folder}/other.yml: the sites of a fleet keep their keys in "
     "one place. Set ipsec_psk_file of hq to {folder}/psk.yml, or that of east to {folder}/other.yml."),
    ({"ipsec_psk_file": None},
     "ipsec_psk_file: east has {folder}/psk.yml, hq has none: the sites of a fleet keep their keys in one place. Set "
     "ipsec_psk_file of hq to {folder}/psk.yml."),
    ({"ipsec_psk_vault_id": "vpn"},
     "ipsec_psk_vault_id: east has none, hq has vpn: the sites of a fleet keep their keys in one place. Set "
     "ipsec_psk_vault_id of east to vpn."),
])
def test_sites_of_a_fleet_that_would_keep_its_keys_in_two_places_are_an_error(project, of_hq, message):
    project.write("host_vars/hq.yml", of_hq)
    message = "ipsec_fleet: " + message.format(folder=project.folder)
    _read, findings = project.everyone()
    assert [str(finding) for finding in findings] == [message]
    with pytest.raises(AnsibleError) as caught:
        project.make()
    assert str(caught.value) == message
    assert [path.name for path in project.folder.iterdir() if path.is_file()] == ["inventory.yml"]


def test_one_file_may_have_two_names_and_a_host_that_is_no_site_none(project):
    project.write("inventory.yml", {"all": {"hosts": {"hq": None, "east": None, "runner": None}}})
    (project.folder / "link.yml").symlink_to(project.folder / "psk.yml")
    project.write("host_vars/east.yml", {"ipsec_psk_file": "link.yml"})
    project.write("host_vars/runner.yml", {"ipsec_psk_file": "none.yml"})
    assert project.everyone()[1] == []


def test_many_sites_that_keep_keys_elsewhere_are_one_finding_for_each_place(project):
    names = [f"s{number:02}" for number in range(20)]
    project.write("inventory.yml", {"all": {"hosts": dict.fromkeys(names)}})
    project.write("group_vars/all.yml", {"ipsec_psk_file": "psk.yml", "ipsec_fleet": {
        "sites": {name: {"address": f"192.0.2.{number + 1}", "networks": [f"10.{number}.0.0/24"]}
                  for number, name in enumerate(names)}, "links": [{"hub": "s00", "spokes": "all"}]}})
    project.write("host_vars/s00.yml", {"ipsec_psk_file": "own.yml"})
    (finding,) = project.everyone()[1]
    assert (finding.left, finding.right) == (f"s00 has {project.folder}/own.yml", f"s01 has {project.folder}/psk.yml")


def test_keys_are_encrypted_under_the_vault_id_and_an_unfit_secret_is_found_at_validation(project):
    project.write("group_vars/all.yml", {"ipsec_fleet": FLEET, "ipsec_psk_file": "keys/psk.yml",
                                         "ipsec_psk_vault_id": "vpn"})
    for use in (project.make, lambda: project.of_host("hq", check_mode=True)):
        with pytest.raises(AnsibleError, match="this run has no vault secret of that id; it has none"):
            use()
    assert project.everyone()[1] == []  # a pipeline validates without
    project.secrets = [("vpn", VaultSecret(b"a password"))]
    project.make()
    assert (project.folder / "keys/psk.yml").read_bytes().startswith(b"$ANSIBLE_VAULT;1.2;AES256;vpn")
    assert project.of_host("hq")["gateways"][0]["credential"]["psk"]
    project.secrets = [("vpn", VaultSecret(b"another"))]
    for use in (project.everyone, project.make, lambda: project.of_host("hq")):
        with pytest.raises(AnsibleError, match="cannot be decrypted"):
            use()


def test_an_object_of_the_hosts_own_stands_in_the_place_of_the_fleets_and_others_beside_it(project):
    (project.folder / "psk.yml").write_text("hq<->partner: a key for the partner\neast<->hq: a key for the east\n")
    project.write("host_vars/hq.yml", {
        "ipsec_site": {"platform": "linux"}, "ipsec_policy": "strict",
        "ipsec_gateways": [
            {"name": "lab", "credential": {"method": "psk", "psk": "k" * 20}, "transforms": ["p1"],
             "endpoints": [{"local": {"address": "192.0.2.1"}, "remote": {"address": "192.0.2.200"}}]},
            {"name": "partner", "credential": {"method": "psk", "psk": "own" * 10},
             "endpoints": [{"local": {"address": "192.0.2.1"}, "remote": {"address": "203.0.113.1"}}]}],
        "ipsec_tunnels": [{"name": "lab", "gateway": "lab",
                           "routes": [{"local": "10.1.0.0/24", "remote": "10.9.0.0/24"}]}]})
    hq = project.of_host("hq")
    assert [gateway["name"] for gateway in hq["gateways"]] == ["east", "partner", "lab"]
    assert hq["gateways"][1]["credential"]["psk"] == "own" * 10
    assert [tunnel["name"] for tunnel in hq["tunnels"]] == ["east", "partner", "lab"]
    assert (hq["policy"], hq["site"]["name"], [item["name"] for item in hq["transforms"]]) == ("strict", "hq", ["p1"])
    read, findings = project.everyone()
    assert findings == [] and [gateway.name for gateway in read["hq"].gateways] == ["east", "partner", "lab"]
    assert [item.name for item in read["hq"].gateway("lab").transforms] == ["p1"]
    assert read["hq"].gateway("east").credential.secret.octets == b"a key for the east"
    assert {finding.code for finding in rules.validate(list(read.values())).errors} == {"psk-differs"}


def test_a_peers_declaration_is_had_from_a_host_of_its_fleet(project):
    project.make()
    hostvars = project.open()
    hq = Variables.of(hostvars, "hq")
    partner = Variables("partner", {}, lambda name: None)
    found = sides.of_host(hq, project.loader, ["site", "gateways"], check_mode=False, of=partner)
    ours = project.of_host("hq")["gateways"][1]
    assert (found["site"]["name"], found["site"]["managed"]) == ("partner", False)
    assert found["gateways"][0]["credential"] == ours["credential"]
    nobody = Variables("nobody", {}, lambda name: None)
    with pytest.raises(AnsibleError, match=r"site is 'nobody': it is no site of ipsec_fleet, and no host of that name "
                                           r"declares anything\. Write one of east, hq, partner\."):
        sides.of_host(hq, project.loader, ["gateways"], check_mode=False, of=nobody)


def test_a_nat_that_the_fleet_states_is_known_beside_lists_of_the_hosts_own(project):
    behind = {"address": "198.51.100.1", "public_address": "203.0.113.5", "networks": ["10.2.0.0/24"]}
    project.write("group_vars/all.yml", {"ipsec_fleet": {**FLEET, "sites": {**FLEET["sites"], "east": behind}},
                                         "ipsec_psk_file": "psk.yml"})
    project.write("host_vars/east.yml", {"ipsec_proposals": [{"name": "spare"}]})
    read, findings = project.everyone()
    assert (findings, rules.validate(list(read.values())).findings) == ([], ())


def test_hosts_without_a_fleet_declare_by_their_own_lists_alone(project):
    project.write("group_vars/all.yml", {"ipsec_transforms": [{"name": "{{ 'p' ~ 1 }}"}]})
    assert project.of_host("hq") == {
        "site": {"name": "hq"}, "policy": "standard", "shared_transforms": [], "transforms": [{"name": "p1"}],
        "proposals": [], "gateways": [], "tunnels": []}
    assert project.make() == {"changed": False, "made": [], "files": []}
    project.write("group_vars/all.yml", {})
    hostvars = project.open()
    assert sides.declared(hostvars, ["hq", "east"]) == {}


def test_a_host_of_another_group_is_the_site_of_its_name_all_the_same(project):
    project.write("inventory.yml", {"all": {"hosts": {"partner": None, "other": None},
                                            "children": {"gateways": {"hosts": {"hq": None, "east": None}}}}})
    project.write("group_vars/gateways.yml", {"ipsec_fleet": FLEET, "ipsec_psk_file": "psk.yml"})
    project.write("group_vars/all.yml", {})
    read, findings = project.everyone()
    assert (sorted(read), findings) == (["east", "hq", "partner"], [])
    assert read["partner"].managed is False


def test_a_fleet_may_hold_templates(project):
    sites = {"hq": {"address": "{{ hq_address }}", "networks": ["10.1.0.0/24"]},
             "east": {"address": "198.51.100.1", "networks": ["10.2.0.0/24"]}}
    project.write("group_vars/all.yml", {"ipsec_psk_file": "psk.yml", "hq_address": "192.0.2.77", "ipsec_fleet": {
        "sites": sites, "links": [{"pair": ["hq", "east"]}]}})
    read, _findings = project.everyone()
    assert str(read["east"].gateways[0].endpoints[0].remote.address) == "192.0.2.77"
    project.write("group_vars/all.yml", {"ipsec_psk_file": "psk.yml", "ipsec_fleet": "{{ nobody_knows }}"})
    with pytest.raises(AnsibleError, match=r"(hq|east): ipsec_fleet cannot be templated: .*nobody_knows"):
        project.everyone()


def test_many_hosts_of_one_fleet_cost_one_reading(project, monkeypatch):
    count = 200
    names = [f"s{number}" for number in range(count)]
    project.write("inventory.yml", {"all": {"hosts": dict.fromkeys(names)}})
    project.write("group_vars/all.yml", {"ipsec_psk_file": "psk.yml", "ipsec_fleet": {
        "sites": {name: {"address": f"192.0.2.{number}", "networks": [f"10.{number}.0.0/24"]}
                  for number, name in enumerate(names)}, "links": [{"hub": "s0", "spokes": "all"}]}})
    readings = []
    monkeypatch.setattr(sides.fleet, "read", lambda *given, read=sides.fleet.read: readings.append(1) or read(*given))
    began = time.process_time()
    read, findings = project.everyone()
    print(f"{count} hosts: {time.process_time() - began:.2f} s")
    assert (len(read), findings, len(readings)) == (count, [], 1)
    project.make()
    began = time.process_time()
    assert len(project.of_host("s0")["gateways"]) == count - 1
    took = time.process_time() - began
    print(f"a hub of {count - 1} links: {took:.2f} s")
    assert took < 2


def test_a_pair_is_renewed_under_its_names_in_whatever_order_and_another_is_refused(project):
    made = project.make()["made"]
    first = made[0]
    one, other = first.split("<->")
    assert project.make() == {"changed": False, "made": [], "files": [str(project.folder / "psk.yml")]}
    assert project.make(renew=[f"{other} <-> {one}"])["made"] == [first]
    with pytest.raises(AnsibleError, match="renew names hq<->nowhere: no such pair has a key that is made here"):
        project.make(renew=["nowhere<->hq"])


def test_nothing_is_renewed_where_no_fleet_has_keys(project):
    project.write("group_vars/all.yml", {"ipsec_transforms": [{"name": "p1"}]})
    with pytest.raises(AnsibleError, match=r"renew names east<->hq: no host that was asked has a fleet whose keys are "
                                           r"made here\. Define ipsec_fleet with that link, or"):
        project.make(renew=["hq<->east"])
