# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What packets without an SA make a gateway do: begin once, back off where that fails, never where it only answers."""

from __future__ import annotations

import pytest

from tests.support import ikev1, virtual_network
from tests.support.virtual_network import BRANCH, HQ, PSK, VirtualNetwork, agree

VERSIONS = [pytest.param(ikev1, id="IKEv1"), pytest.param(virtual_network, id="IKEv2")]


def _alone(version, **changes):
    network = VirtualNetwork({HQ: version.hq(start="traffic", **changes)})
    network.start()
    return network, network.ends[HQ]


def _packets(network, seconds, every=1.0):
    """One comes each second, as userspace and the kernel tell of them."""
    for _packet in range(int(seconds / every)):
        network.traffic()
        network.run(every)


def _begun(network):
    """How many IKE SAs were begun, by the initiator's SPIs of first messages."""
    return len({datagram.data[:8] for _time, datagram in network.sent
                if datagram.data[18] in (0x22, 0x02) and datagram.data[8:16] == bytes(8)})


@pytest.mark.parametrize("version", VERSIONS)
def test_packets_while_it_connects_begin_nothing_more(version):
    network, _one = _alone(version)
    _packets(network, 5, every=0.1)
    assert _begun(network) == 1


@pytest.mark.parametrize("version", VERSIONS)
def test_a_gateway_that_only_answers_never_begins(version):
    network = VirtualNetwork({HQ: version.hq(start="answer")})
    network.start()
    _packets(network, 60)
    assert network.sent == []


@pytest.mark.parametrize("start", ["traffic", "boot"])
@pytest.mark.parametrize("version", VERSIONS)
def test_steady_traffic_for_a_peer_that_refuses_is_backed_off_and_tried_for_ever(version, start):
    network = VirtualNetwork({HQ: version.hq(start=start),
                              BRANCH: version.branch(start="answer", psk=PSK + "1")}, seed=3)
    network.start()
    _packets(network, 300)
    first = _begun(network)
    assert 5 <= first <= 16
    _packets(network, 300)
    assert 3 <= _begun(network) - first <= 12


@pytest.mark.parametrize("version", VERSIONS)
def test_a_peer_that_was_not_there_is_reached_by_later_traffic(version):
    network, one = _alone(version)
    _packets(network, 100)
    network.run(400)
    begun = _begun(network)
    network.run(300)
    assert _begun(network) == begun  # nothing is sent: nothing is tried
    network.ends[BRANCH] = network.end(version.branch(start="answer"))
    network.traffic()
    network.run(1)
    agree(one, network.ends[BRANCH], routes=1)
