# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tasks on the controller are given: groups stand for hosts, and what does not fit is said in clear words."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from .conftest import Site

INSIDES = re.compile(r"Unexpected failure|Traceback|TemplateContext|_Ansible|NoneType|unhashable|has no attribute|Errno"
                     r"|An exception occurred")


@pytest.fixture
def nowhere(tmp_path: Path, collections: Path) -> Site:
    return Site(tmp_path / "site", collections, None)


@pytest.mark.parametrize("module", ["ipsec_validate", "ipsec_keys"])
def test_a_group_stands_for_its_hosts(nowhere: Site, module: str):
    done = nowhere.task(module, {"hosts": ["gateways", "hq"]})
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("module", "options", "message"), [
    ("ipsec_validate", {"hosts": ["hq", "gatways"]}, "hosts[1] is 'gatways': the inventory has no host and no group of "
                                                     "that name. Did you mean gateways?"),
    ("ipsec_keys", {"hosts": "nosuch"}, "hosts[0] is 'nosuch': the inventory has no host"),
    ("ipsec_validate", {"sides": 5}, "sides is a number: a mapping of hosts' names to their "
                                     "declarations is needed here."),
    ("ipsec_validate", {"reports": [{"format": "text", "path": ["x"]}]}, "reports[0].path is a list: text is needed"),
    ("ipsec_validate", {"reports": [{"format": "text", "path": "."}]}, "cannot be written: Is a directory. Name a"),
    ("ipsec_keys", {"hosts": {"hq": 1}}, "hosts is a mapping: a list is needed here."),
    ("ipsec_render", {"dest": None}, "dest is missing: this field is required."),
    ("ipsec_render", {"dest": "x", "site": ["hq"]}, "site is a list: text is needed here."),
    ("ipsec_render", {"dest": "x", "site": "brnch"}, "site is 'brnch': it is no site of ipsec_fleet, and no host of "
                                                     "that name declares anything."),
    ("ipsec_render", {"dest": "x", "gateway": "brnch"}, "gateway is 'brnch': hq declares no gateway of that name. Did "
                                                        "you mean branch? Write branch."),
    ("ipsec_render", {"dest": "site.yml"}, "cannot be written: File exists. Name a folder"),
    ("ipsec_proof", {"observed": ["x"]}, "observed is a list: text is needed here."),
    ("ipsec_proof", {"observed": "x", "final": None}, "hq:lan: the host was not observed"),
    ("ipsec_proof", {"observed": "inventory_hostname"}, "observed is 'inventory_hostname': hq's variable of that name "
                                                        "is text, and not what ipsec_info returns."),
    ("ipsec_proof", {"observed": "ipsec_tunnels"}, "observed is 'ipsec_tunnels': hq's variable of that name is a list, "
                                                   "and not what ipsec_info returns."),
    ("ipsec_rotation", {"declared": "ipsec_tunnels"}, "declared is 'ipsec_tunnels': hq's variable of that name is a "
                                                      "list, and not what ipsec_config returns."),
])
def test_what_does_not_fit_is_said_in_words_that_name_the_option(nowhere: Site, module: str, options: dict[str, Any],
                                                                 message: str):
    done = nowhere.task(module, options)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert message in said.replace("\\", "")
    assert not INSIDES.search(said), said
