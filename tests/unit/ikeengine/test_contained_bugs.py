# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An exception that nobody foresaw takes its session, and neither the daemon nor the others."""

from __future__ import annotations

import pytest
from ikeengine.vpn import declaration

from tests.support import ikev1, virtual_network
from tests.support.virtual_network import BRANCH, HQ, PSK, VirtualNetwork, agree, branch

VERSIONS = [pytest.param(ikev1, id="IKEv1"), pytest.param(virtual_network, id="IKEv2")]
OTHER = "203.0.113.2"


class Bug(Exception):
    pass


def fails(*_arguments, **_named):
    raise Bug


def _up(version):
    network = VirtualNetwork({HQ: version.hq(), BRANCH: version.branch(start="answer")})
    one, bugs = network.ends[HQ], []
    one.manager.on_bug = lambda error, gateway: bugs.append((type(error), gateway))
    network.start()
    network.run(10)
    agree(one, network.ends[BRANCH], routes=1)
    return network, one, bugs


@pytest.mark.parametrize("where", ["receive", "handle_timer", "close"])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_session_that_fails_is_dropped_and_made_anew(version, where):
    network, one, bugs = _up(version)
    (session,) = one.manager._sessions
    before = set(one.inbound)
    setattr(session, "handle_timer" if where == "close" else where, fails)
    if where == "close":
        session.close = fails
    one.manager.rekey_child("lan", network.now)
    one.manager._timers.note(session, network.now)
    network.run(0.2)
    assert bugs[0] == (Bug, "peer") and len(bugs) == (2 if where == "close" else 1)
    assert not one.inbound and session not in one.manager._sessions
    network.run(20)
    agree(one, network.ends[BRANCH], routes=1)
    assert not before & set(one.inbound)


def test_others_go_on_and_what_is_new_is_served(monkeypatch):
    gateways = [(HQ, "peer"), (OTHER, "other")]
    hub = declaration.read({
        "site": {"name": "branch"}, "transforms": [virtual_network.TRANSFORM], "proposals": [virtual_network.PROPOSAL],
        "gateways": [{"name": name, "ike_version": 2, "credential": {"method": "psk", "psk": PSK}, "start": "answer",
                      "endpoints": [{"local": {"address": BRANCH}, "remote": {"address": address}}],
                      "transforms": ["p1"]} for address, name in gateways],
        "tunnels": [{"name": f"lan-{name}", "gateway": name, "proposals": ["p2"],
                     "pfs": {"enabled": True, "key_group": 31},
                     "routes": [{"local": "10.2.0.0/24", "remote": f"10.{number}.0.0/24"}]}
                    for number, (_address, name) in enumerate(gateways, 1)]})
    spoke = virtual_network.side("other", OTHER, BRANCH, routes=(("10.2.0.0/24", "10.2.0.0/24"),))
    network = VirtualNetwork({BRANCH: hub, HQ: virtual_network.hq(), OTHER: spoke})
    middle, bugs = network.ends[BRANCH], []
    middle.manager.on_bug = lambda error, gateway: bugs.append(gateway)
    network.ends[HQ].manager.start(network.now)
    network.run(5)
    (session,) = middle.manager._sessions
    monkeypatch.setattr(session, "receive", fails)
    network.ends[HQ].manager.rekey_child("lan", network.now)
    network.ends[OTHER].manager.initiate("peer", network.now)
    network.run(0.2)
    assert bugs == ["peer"]
    assert [row.state for row in middle.manager.overview.gateways()] == ["down", "established"]
    network.run(5)  # whose IKE SA is lost hears so, and comes again
    assert [row.state for row in middle.manager.overview.gateways()] == ["established", "established"]


def test_a_gateway_that_cannot_be_tried_is_tried_again(monkeypatch):
    network = VirtualNetwork({HQ: virtual_network.hq(), BRANCH: branch(start="answer")})
    one, bugs = network.ends[HQ], []
    one.manager.on_bug = lambda error, gateway: bugs.append(gateway)
    with monkeypatch.context() as patched:
        patched.setattr(one.manager._keep_up, "_make", fails)
        network.start()
        network.run(5)
        assert 2 <= len(bugs) <= 4
    network.run(10)
    agree(one, network.ends[BRANCH], routes=1)


def test_without_anybody_to_hear_of_them_exceptions_are_raised(monkeypatch):
    network = VirtualNetwork({HQ: virtual_network.hq(), BRANCH: branch(start="answer")})
    monkeypatch.setattr(network.ends[HQ].manager._keep_up, "_make", fails)
    with pytest.raises(Bug):
        network.start()
