# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A life of two tunnel routes with strongSwan, by who began it and by suite: traffic flows after each step."""

from collections.abc import Callable

import pytest
from ansible_collections.tandem.vpn.plugins.module_utils.vpn import rules
from ansible_collections.tandem.vpn.plugins.module_utils.vpn.declaration import read

from tests.interop.site import CHILDREN, PSK, SUITES, Site, configure, declaration, eventually, peer, secrets
from tests.testbed.command import CommandFailed

pytestmark = pytest.mark.interop

def up_from_ours(site: Site) -> None:
    site.ours.ask("up", gateway="swan")


def up_from_theirs(site: Site) -> None:
    for child in CHILDREN:
        site.theirs.initiate(child)


UP: dict[str, Callable[[Site], None]] = {"ikeengine": up_from_ours, "strongSwan": up_from_theirs}


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("initiator", UP)
def test_every_step_of_a_tunnels_life(site: Site, initiator: str, suite: str) -> None:
    chosen, up = SUITES[suite], UP[initiator]
    sides = [read(declaration(chosen), secrets=secrets("swan", PSK)),
             read(peer(chosen, start="boot"), secrets=secrets("tandem", PSK))]
    assert rules.validate(sides).errors == ()
    configure(site.theirs, chosen)
    site.ours.start(declaration(chosen))

    up(site)
    begun = site.carries()
    (ike,) = site.ours.gateway["ike"]
    assert (ike["suite"], ike["initiator"]) == (chosen.ike, initiator == "ikeengine")
    assert {near["esp"] for near, _far in begun.children} == {chosen.esp}

    with site.traffic():
        site.ours.ask("rekey", tunnel="lan")
    ours = site.carries()
    assert not ours.spis & begun.spis and ours.ike == begun.ike

    with site.traffic():
        for child in CHILDREN:
            site.theirs.rekey(child=child)
        eventually(lambda: not site.settled().spis & ours.spis, site.logs)
    theirs = site.carries()
    assert theirs.ike == begun.ike

    with site.traffic():
        site.ours.ask("rekey", gateway="swan")
    ours = site.carries()
    assert ours.ike != begun.ike and ours.spis == theirs.spis

    with site.traffic():
        site.theirs.rekey(ike="tandem")
        eventually(lambda: site.settled().ike != ours.ike, site.logs)
    theirs = site.carries()
    assert theirs.spis == ours.spis

    # After IKE rekeys from both ends, the keys of further children come from the new IKE SA.
    site.ours.ask("rekey", tunnel="lan")
    assert not site.carries().spis & theirs.spis

    # Delete the children from either end, then the IKE SA from either end; each comes up again.
    for child in CHILDREN:
        site.theirs.terminate(child=child)
    up(site)
    before = site.carries()
    assert before.ike == theirs.ike
    site.ours.ask("down", tunnel="lan")
    site.settled(routes=0)
    site.ours.ask("up", tunnel="lan")
    assert site.carries().ike == before.ike

    site.theirs.terminate(ike="tandem")
    up(site)
    assert site.carries().ike != before.ike
    site.ours.ask("down", gateway="swan")
    eventually(lambda: not site.theirs.list_sas(), site.logs)
    with pytest.raises(CommandFailed, match="NO_PROP"):
        site.theirs.initiate(CHILDREN[0])  # what an operator took down stays down
    up_from_ours(site)
    site.carries()
    assert "Traceback" not in site.ours.log
