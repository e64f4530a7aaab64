# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A session that has closed is gone at once, with its keys: no cycle of references waits for the collector, whom the
daemon spares what has come to stay. Both versions, virtual clock."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ikeengine.ike.session import IkeSession

from tests.support import ikev1, virtual_network
from tests.support.virtual_network import End, VirtualNetwork, pair

KINDS: dict[int, Any] = {1: ikev1, 2: virtual_network}


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[weakref.ref[IkeSession]]]:
    """Every session that comes to be, while nothing is collected."""
    found: list[weakref.ref[IkeSession]] = []
    initialise = IkeSession.__init__

    def noted(self: IkeSession, *given: Any, **named: Any) -> None:
        found.append(weakref.ref(self))
        initialise(self, *given, **named)

    monkeypatch.setattr(IkeSession, "__init__", noted)
    gc.collect()
    gc.disable()
    yield found
    gc.enable()


def rekeyed(network: VirtualNetwork, one: End, other: End) -> None:
    network.start()
    for _time in range(3):
        network.run(60)
        one.manager.rekey_child("lan", network.now)
        network.run(60)
        one.manager.rekey_ike("peer", network.now)


def made_anew(network: VirtualNetwork, one: End, other: End) -> None:
    network.start()
    for _time in range(3):
        network.run(60)
        one.manager.replace("peer", network.now)


def taken_down(network: VirtualNetwork, one: End, other: End) -> None:
    network.start()
    network.run(60)
    one.manager.terminate("peer", network.now)
    network.run(5)
    one.manager.initiate("peer", network.now)


def dead_and_back(network: VirtualNetwork, one: End, other: End) -> None:
    network.start()
    network.run(60)
    network.tamper = lambda _datagram: None
    network.run(900)
    network.tamper = lambda datagram: datagram


def begun_at_both_ends(network: VirtualNetwork, one: End, other: End) -> None:
    one.manager.start(network.now)
    other.manager.initiate("peer", network.now)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("life", [rekeyed, made_anew, taken_down, dead_and_back, begun_at_both_ends])
def test_what_has_closed_is_gone(made: list[weakref.ref[IkeSession]], version: int,
                                 life: Callable[[VirtualNetwork, End, End], None]) -> None:
    kind = KINDS[version]
    network, one, other = pair(kind.hq(), kind.branch(start="answer"))
    life(network, one, other)
    network.run(300)
    there = {session for row in made if (session := row()) is not None}
    assert there == {session for end in (one, other) for session in end.manager._sessions}
    assert len(there) == 2 < len(made)
