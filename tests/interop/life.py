# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A life of two tunnel routes with strongSwan, whatever the version of IKE: traffic flows after each step."""

from collections.abc import Callable

from tests.interop.site import CHILDREN, Site, Suite, eventually


def up_from_ours(site: Site) -> None:
    site.ours.ask("up", gateway="swan")


def up_from_theirs(site: Site) -> None:
    for child in CHILDREN:
        site.theirs.initiate(child)


UP: dict[str, Callable[[Site], None]] = {"ikeengine": up_from_ours, "strongSwan": up_from_theirs}


def live(site: Site, suite: Suite, initiator: str, version: int) -> None:
    """Up by the initiator, each SA rekeyed by either end, each deleted by either end, and down by us at last."""
    up = UP[initiator]
    up(site)
    begun = site.carries()
    (ike,) = site.ours.gateway["ike"]
    assert (ike["version"], ike["suite"], ike["initiator"]) == (version, suite.ike, initiator == "ikeengine")
    assert {near["esp"] for near, _far in begun.children} == {suite.esp}

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


def come_back(site: Site) -> None:
    """Once more from our end, after all that."""
    up_from_ours(site)
    site.carries()
    assert "Traceback" not in site.ours.log
