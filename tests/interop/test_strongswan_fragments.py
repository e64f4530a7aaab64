# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages in fragments between ikeengine and strongSwan, made small at either end."""

import re

import pytest

from tests.interop.site import CBC, CHILDREN, GCM, OURS, THEIRS, Site, Suite, also, configure, cut, declaration
from tests.support.certificates import KEYS, credential, issue

pytestmark = pytest.mark.interop

SMALL = 250


def sent_by_strongswan(log: str) -> list[str]:
    return re.findall(r"splitting IKE message \(\d+ bytes\) into (\d+) fragments", log)


def received_by_strongswan(log: str) -> list[str]:
    return re.findall(r"received fragment #\d+ of (\d+), reassembled fragmented IKE message", log)


def up(site: Site, initiator: str) -> None:
    if initiator == "ikeengine":
        site.ours.ask("up", gateway="swan")
    else:
        for child in CHILDREN:
            site.theirs.initiate(child)


@pytest.mark.parametrize("suite", [CBC, GCM], ids=["CBC", "GCM"])
@pytest.mark.parametrize("initiator", ["ikeengine", "strongSwan"])
def test_both_ends_send_and_take_fragments(site: Site, initiator: str, suite: Suite) -> None:
    site.theirs.stop()
    site.theirs.settings = f"fragment_size = {SMALL}"
    site.theirs.start()
    configure(site.theirs, suite)
    site.ours.program = cut(SMALL)
    site.ours.start(declaration(suite))
    up(site, initiator)
    begun = site.carries()
    site.ours.ask("rekey", tunnel="lan")
    site.ours.ask("rekey", gateway="swan")
    assert not site.carries().spis & begun.spis
    assert len(sent_by_strongswan(site.theirs.log)) > 2 and len(received_by_strongswan(site.theirs.log)) > 2
    dropped = site.ours.ask("status")["counters"]["datagrams_dropped"]
    assert not any(dropped.get(reason) for reason in ("malformed", "not_authentic", "unexpected_fragment")), dropped
    assert "Traceback" not in site.ours.log


@pytest.mark.parametrize("initiator", ["ikeengine", "strongSwan"])
def test_certificates_that_are_larger_than_a_datagram(site: Site, initiator: str) -> None:
    """At the usual size, both ends with a chain of RSA certificates."""
    root = issue("O=Example, CN=root", authority=True, key=KEYS["RSA 3072"]())
    middle = issue("O=Example, CN=middle", root, authority=True, key=KEYS["RSA 3072"]())
    ours, theirs = (credential(issue("CN=gateway", middle, key=KEYS["RSA 3072"](), alternative=(address,)), root,
                               chain=[middle]) for address in (OURS, THEIRS))
    configure(site.theirs, GCM, credential=theirs)
    site.ours.start(declaration(GCM, credential=ours))
    up(site, initiator)
    site.carries()
    assert sent_by_strongswan(site.theirs.log) and received_by_strongswan(site.theirs.log)


def test_a_peer_that_takes_no_fragments_is_sent_none(site: Site) -> None:
    configure(site.theirs, GCM, edit=also("fragmentation = no"))
    site.ours.program = cut(SMALL)
    site.ours.start(declaration(GCM))
    site.ours.ask("up", gateway="swan")
    site.carries()
    assert "fragment" not in site.theirs.log
