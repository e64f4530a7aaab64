# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/fleet.md says what a definition may say: its blocks are read, and its fields are all there."""

import re
from pathlib import Path

import pytest
import yaml
from ikeengine.vpn import fleet, rules
from ikeengine.vpn.fleet import language

PAGE = (Path(__file__).parents[6] / "docs" / "fleet.md").read_text()
BLOCKS = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]


def unfolded(data):
    definition = fleet.read(data)
    keys = {name: name.encode().hex() for name in fleet.key_names(definition)}
    return {side.name: side for side in fleet.sides(definition, keys)}


@pytest.mark.parametrize("data", BLOCKS)
def test_every_block_is_read_and_both_ends_agree(data):
    anywhere = {name: site | {"managed": False} for name, site in data["sites"].items()}  # no limits of ikeengine's
    validation = rules.validate(list(unfolded(data | {"sites": anywhere}).values()))
    assert [str(finding) for finding in validation.errors] == []


def test_every_field_is_named():
    fields = {*language._FLEET, *language._SITE, *language._OWN_GATEWAY, *language._OWN_TUNNEL,
              *(field for kinds in (language._LINKS, language._OVERRIDES) for kind in kinds.values() for field in kind)}
    assert sorted(field for field in fields if not re.search(rf"\b{field}\b", PAGE)) == []


def test_the_first_block_is_what_the_page_says():
    sides = unfolded(BLOCKS[0])
    hq, branch = sides["hq"], sides["branch"]
    assert [gateway.name for gateway in hq.gateways] == ["branch", "shop", "twolines", "partner"]
    assert [str(route.remote) for route in branch.tunnels[0].routes] == ["10.1.0.0/24", "10.3.0.0/24", "10.4.0.0/24"]
    assert (hq.tunnels[0].dataplane.value, branch.tunnels[0].dataplane.value) == ("auto", "userspace")
    assert [item.name for item in sides["partner"].gateway("hq").transforms] == ["p1", "old"]
    assert hq.gateway("branch").dead_peer_detection.idle == branch.gateway("hq").dead_peer_detection.idle == 60
