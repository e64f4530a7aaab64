# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A hub with many spokes: what one of them costs does not grow with the number of the others."""

from __future__ import annotations

from ikeengine.vpn import declaration

from bench import hub
from tests.support.calls import calls_of
from tests.support.virtual_network import VirtualNetwork

SPOKES = 300
SUITE = hub.Suite("x25519", 31)


def test_a_handshake_takes_as_many_calls_beside_many_gateways_as_alone() -> None:
    _calls_of_a_handshake(1)  # what is cached for good is cached from here on
    alone, among_many = _calls_of_a_handshake(1), _calls_of_a_handshake(SPOKES)
    print(f"{alone} calls alone, {among_many} beside {SPOKES - 1} others")
    assert abs(among_many - alone) < 40


def test_what_is_due_is_done_in_parts_so_that_sockets_get_their_turn() -> None:
    spokes = range(1, 41)
    side = declaration.read(hub.hub(SUITE, spokes, "boot"), secrets=hub.keys(spokes))
    manager = VirtualNetwork({hub.HUB: side}, seed=1).ends[hub.HUB].manager
    begun = []
    manager.start(0.0, at_most=16)
    while manager.next_timer() == 0.0:
        begun.append(len(manager.datagrams_to_send()))
        manager.handle_timer(0.0, at_most=16)
    assert [*begun, len(manager.datagrams_to_send())] == [16, 16, 8]


def _calls_of_a_handshake(spokes: int) -> int:
    """Calls of functions, Python's and C's, at both ends while one spoke is brought up."""
    numbers = range(1, spokes + 1)
    near, far = (declaration.read(row, secrets=hub.keys(numbers))
                 for row in (hub.hub(SUITE, numbers), hub.load(SUITE, numbers)))
    network = VirtualNetwork({hub.HUB: near, hub.address(spokes): far}, seed=1)
    network.start()
    initiator = network.ends[hub.address(spokes)]

    def handshake() -> None:
        initiator.manager.initiate(f"spoke{spokes}", network.now)
        network.run(0.5)

    calls = calls_of(handshake)
    assert len(initiator.outbound) == len(network.ends[hub.HUB].outbound) == 1
    return calls
