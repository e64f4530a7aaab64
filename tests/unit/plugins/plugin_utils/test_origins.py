# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines that findings stand at, in files as Ansible reads them."""

from pathlib import Path

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible_collections.tandem.vpn.plugins.plugin_utils.origins import Origins

HOST_VARS = """\
gateways:
  - name: branch.1
    start: boot
    endpoints:
      - local: {address: 192.0.2.1}
        remote:
          address: 198.51.100.1
tunnels:
  - name: lan
    gateway: branch.1
    comprssion: true
    routes:
      - {local: 10.1.0.0/24, remote: 10.2.0.0/24}
"""


@pytest.fixture
def origins(tmp_path: Path) -> Origins:
    """Of one host, in a checkout; the names of the variables themselves know no line."""
    (tmp_path / ".git").mkdir()
    file = tmp_path / "host_vars" / "hq.yml"
    file.parent.mkdir()
    file.write_text(HOST_VARS)
    variables = DataLoader().load_from_file(str(file))
    return Origins({"hq": {"gateways": variables["gateways"], "tunnels": variables["tunnels"]}})


@pytest.mark.parametrize(("path", "line"), [
    ("", 2),
    ("gateways[branch.1]", 2),
    ("gateways[branch.1].start", 3),
    ("gateways[branch.1].endpoints[0].remote.address", 7),
    ("gateways[branch.1].credential.psk", 2),
    ("tunnels[lan].comprssion", 11),
    ("tunnels[lan].routes[0].local", 13),
    ("tunnels[lan].routes[7].local", 12),
    ("tunnels[other]", 9),
])
def test_a_path_stands_at_its_own_line_or_the_nearest_above(origins, path, line):
    position = origins.locate("hq", path)
    assert (position.file, position.line) == ("host_vars/hq.yml", line)


def test_a_site_is_found_by_the_name_that_it_gives_itself(tmp_path):
    file = tmp_path / "all.yml"
    file.write_text("site:\n  name: headquarters\n")
    origins = Origins({"hq": DataLoader().load_from_file(str(file))})
    assert (origins.locate("headquarters", "site.name").file, origins.locate("hq", "")) == (str(file), None)


def test_what_a_fleet_makes_of_a_site_stands_where_the_fleet_has_it(tmp_path):
    file = tmp_path / "all.yml"
    file.write_text("ipsec_fleet:\n  sites:\n    hq:\n      address: 192.0.2.1\n  links:\n    - mesh: [hq]\n")
    asked = []
    written = DataLoader().load_from_file(str(file))["ipsec_fleet"]
    origins = Origins({"hq": object()}, lambda: asked.append("once") or written)
    assert asked == []
    assert origins.locate("hq", "gateways[branch].transforms").line == 3
    assert origins.locate("", "ipsec_fleet.links[0].mesh").line == 6
    assert origins.locate("", "ipsec_fleet.sites[hq].adress").line == 3
    assert origins.locate("branch", "gateways[hq]") is None
    assert asked == ["once"]


def test_a_site_that_yaml_takes_for_a_number_stands_where_the_fleet_has_it(tmp_path):
    file = tmp_path / "all.yml"
    file.write_text("ipsec_fleet:\n  sites:\n    hq: {}\n    7:\n      adress: 192.0.2.1\n")
    written = DataLoader().load_from_file(str(file))["ipsec_fleet"]
    assert Origins({}, lambda: written).locate("", "ipsec_fleet.sites[7].adress").line == 5


@pytest.mark.parametrize("fields", [{}, {"gateways": [{"name": "branch"}]}, {"gateways": "text"}, [], None, "text"])
def test_what_comes_from_no_file_stands_nowhere(fields):
    for path in ("", "gateways[branch]", "gateways[branch].start", "tunnels[lan].routes[0]"):
        assert Origins({"hq": fields}).locate("hq", path) is None
