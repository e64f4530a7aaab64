# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages in fragments between ikeengine and strongSwan, made small at either end."""

import re

import pytest

from tests.interop.site import CBC, CHILDREN, GCM, Site, Suite, also, configure, cut, declaration

pytestmark = pytest.mark.interop

SMALL = 250


def sent_by_strongswan(log: str) -> list[str]:
    return re.findall(r"splitting IKE message \(\d+ bytes\) into (\d+) fragments", log)


def received_by_strongswan(log: str) -> list[str]:
    return re.findall(r"received fragment #\d+ of (\d+), reassembled fragmented IKE message", log)


@pytest.mark.parametrize("suite", [CBC, GCM], ids=["CBC", "GCM"])
@pytest.mark.parametrize("initiator", ["ikeengine", "strongSwan"])
def test_both_ends_send_and_take_fragments(site: Site, initiator: str, suite: Suite) -> None:
    site.theirs.stop()
    site.theirs.settings = f"fragment_size = {SMALL}"
    site.theirs.start()
    configure(site.theirs, suite)
    site.ours.program = cut(SMALL)
    site.ours.start(declaration(suite))
    if initiator == "ikeengine":
        site.ours.ask("up", gateway="swan")
    else:
        for child in CHILDREN:
            site.theirs.initiate(child)
    begun = site.carries()
    site.ours.ask("rekey", tunnel="lan")
    site.ours.ask("rekey", gateway="swan")
    assert not site.carries().spis & begun.spis
    assert len(sent_by_strongswan(site.theirs.log)) > 2 and len(received_by_strongswan(site.theirs.log)) > 2
    dropped = site.ours.ask("status")["counters"]["datagrams_dropped"]
    assert not any(dropped.get(reason) for reason in ("malformed", "not_authentic", "unexpected_fragment")), dropped
    assert "Traceback" not in site.ours.log


def test_a_peer_that_takes_no_fragments_is_sent_none(site: Site) -> None:
    configure(site.theirs, GCM, edit=also("fragmentation = no"))
    site.ours.program = cut(SMALL)
    site.ours.start(declaration(GCM))
    site.ours.ask("up", gateway="swan")
    site.carries()
    assert "fragment" not in site.theirs.log
