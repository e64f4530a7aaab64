# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A life of two tunnel routes with strongSwan, by who began it and by suite: traffic flows after each step."""

import pytest
from ansible_collections.tandem.vpn.plugins.module_utils.vpn import rules
from ansible_collections.tandem.vpn.plugins.module_utils.vpn.declaration import read

from tests.interop.life import UP, come_back, live
from tests.interop.site import CHILDREN, PSK, SUITES, Site, configure, declaration, peer, secrets
from tests.testbed.command import CommandFailed

pytestmark = pytest.mark.interop


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("initiator", UP)
def test_every_step_of_a_tunnels_life(site: Site, initiator: str, suite: str) -> None:
    chosen = SUITES[suite]
    sides = [read(declaration(chosen), secrets=secrets("swan", PSK)),
             read(peer(chosen, start="boot"), secrets=secrets("tandem", PSK))]
    assert rules.validate(sides).errors == ()
    configure(site.theirs, chosen)
    site.ours.start(declaration(chosen))

    live(site, chosen, initiator, version=2)
    with pytest.raises(CommandFailed, match="NO_PROP"):
        site.theirs.initiate(CHILDREN[0])  # what an operator took down stays down
    come_back(site)
