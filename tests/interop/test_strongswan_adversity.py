# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cookies, dead peers, peers that lost their memory, and strongSwan's ways to begin anew."""

import sys
import time

import pytest
from ikeengine.sa_manager import IkeSaManager
from ikeengine.vpn import declaration as side

from tests.interop.site import GCM, OURS, PSK, THEIRS, Site, also, configure, declaration, eventually
from tests.testbed.network import Namespace

pytestmark = pytest.mark.interop


def half_open(namespace: Namespace, to: str, number: int) -> None:
    """Send that many first messages of different initiators to `to`, none of which will go on."""
    data = declaration(GCM, start="boot")
    data["gateways"][0]["credential"]["psk"] = PSK
    firsts = []
    for _ in range(number):
        manager = IkeSaManager(side.read(data), allocate_spi=lambda *_: 256, encapsulate=lambda _: True,
                               reqid=lambda *_: 1)
        manager.start(0.0)
        firsts.append(manager.datagrams_to_send()[0].data.hex())
    script = ("import socket, sys; sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
              "for line in sys.stdin: sock.sendto(bytes.fromhex(line), (sys.argv[1], 500))")
    namespace.run([sys.executable, "-c", script, to], input="\n".join(firsts))


def test_we_bring_strongswan_the_cookie_that_it_demands(site: Site) -> None:
    site.theirs.stop()
    site.theirs.settings = "cookie_threshold = 1\n  block_threshold = 0"
    site.theirs.start()
    configure(site.theirs, GCM)
    half_open(site.ours.namespace, THEIRS, 2)
    site.ours.start(declaration(GCM))
    site.ours.ask("up", gateway="swan")
    assert "N(COOKIE)" in site.theirs.log
    site.carries()


def test_strongswan_brings_us_the_cookie_that_we_demand(site: Site) -> None:
    configure(site.theirs, GCM)
    site.ours.start(declaration(GCM))
    half_open(site.theirs.namespace, OURS, 40)
    for child in ("lan-1", "lan-2"):
        site.theirs.initiate(child)
    assert site.ours.ask("status")["counters"]["datagrams_dropped"]["cookie_demanded"] >= 1
    assert "N(COOKIE)" in site.theirs.log
    site.carries()


def test_we_answer_whether_we_live(site: Site) -> None:
    configure(site.theirs, GCM, dead_peer_detection={"idle": "1s"})
    site.ours.start(declaration(GCM))
    site.ours.ask("up", gateway="swan")
    before = site.carries()
    eventually(lambda: site.theirs.log.count("sending DPD request") >= 2, site.logs)
    after = site.carries()
    assert (after.ike, after.spis) == (before.ike, before.spis)


def test_a_dead_strongswan_is_noticed_and_brought_up_again_once_it_is_back(site: Site) -> None:
    configure(site.theirs, GCM)
    site.ours.start(declaration(GCM, start="boot", dead_peer_detection={"idle": "1s", "retries": 2}))
    before = site.carries()
    eventually(lambda: "parsed INFORMATIONAL request" in site.theirs.log, site.logs)
    after = site.carries()  # asked and answered: it lives
    assert (after.ike, after.spis) == (before.ike, before.spis)

    site.theirs.kill()
    eventually(lambda: not site.ours.gateway["ike"], site.logs)
    assert "is silent: no answer to INFORMATIONAL" in site.ours.log
    site.theirs.start()
    configure(site.theirs, GCM)
    site.carries()


@pytest.mark.parametrize("unique", ["no", "replace"])
def test_an_end_that_lost_its_memory_is_believed(site: Site, unique: str) -> None:
    """INITIAL_CONTACT (RFC 7296 section 2.4) clears what the other end still holds."""
    configure(site.theirs, GCM, edit=also(f"unique = {unique}"))
    site.ours.start(declaration(GCM))
    site.ours.ask("up", gateway="swan")
    before = site.carries()
    site.ours.kill()
    site.ours.start(declaration(GCM))
    site.ours.ask("up", gateway="swan")
    assert site.carries().ike != before.ike

    site.theirs.kill()
    site.theirs.start()
    configure(site.theirs, GCM, edit=also(f"unique = {unique}"))
    for child in ("lan-1", "lan-2"):
        site.theirs.initiate(child)
    site.carries()


@pytest.mark.parametrize("first", ["break", "make"])
@pytest.mark.parametrize("start", ["answer", "boot"])
def test_strongswan_authenticates_anew(site: Site, start: str, first: str) -> None:
    """Its reauthentication deletes the IKE SA and makes another, or makes another and then deletes the first."""
    site.theirs.stop()
    site.theirs.settings = f"make_before_break = {'yes' if first == 'make' else 'no'}"
    site.theirs.start()
    configure(site.theirs, GCM)
    site.ours.start(declaration(GCM, start=start))
    if start == "answer":
        for child in ("lan-1", "lan-2"):
            site.theirs.initiate(child)
    before = site.carries()
    site.theirs.rekey(ike="tandem", reauth=True)
    eventually(lambda: site.settled().ike != before.ike, site.logs)
    after = site.carries()
    time.sleep(6)  # longer than we wait for a peer to close the second of two IKE SAs
    now = site.carries()
    assert (now.ike, now.spis) == (after.ike, after.spis)
