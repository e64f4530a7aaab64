# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the peer does not rekey is asked for again, more and more seldom, while it serves on."""

from __future__ import annotations

from itertools import pairwise

import pytest
from ikeengine.ike.context import Settings
from ikeengine.ike.events import Failed
from ikeengine.ike.refusal import Refusal
from ikeengine.status import ChildStatus
from ikeengine.wire.constants import NotifyType

from tests.support import ikev1, virtual_network
from tests.support.virtual_network import End, agree, pair

KINDS = {1: ikev1, 2: virtual_network}


@pytest.mark.parametrize(("version", "module"), [(1, "ikev1.quick_mode"), (2, "ikev2.child_negotiation")])
def test_a_refused_rekey_is_asked_for_more_and_more_seldom_and_many_times(version, module, monkeypatch):
    def refuse(session, tunnel):
        if session.context is other.manager:
            raise Refusal(NotifyType.NO_PROPOSAL_CHOSEN, "not now", tunnel=tunnel.name)

    network, one, other = pair(KINDS[version].hq(), KINDS[version].branch(start="answer"))
    network.start()
    network.run(1)
    (child,) = one.inbound.values()
    (rekey_in,) = (row.rekey_at - network.now for row in _children(one))
    monkeypatch.setattr(f"ikeengine.{module}.check_path", refuse)
    failures: list[float] = []
    end_at = network.now + rekey_in + 1800
    while network.now < end_at:
        one.events.clear()
        network.run(0.5)
        failures += [network.now] * any(isinstance(event, Failed) for event in one.events)
    assert list(one.inbound.values()) == [child]
    agree(one, other, routes=1)
    pauses = [later - earlier for earlier, later in pairwise(failures)]
    assert pauses[0] < 10 and min(pauses[6:]) > 25 and max(pauses) < 1.5 * Settings().retry_longest + 1
    assert 20 < len(failures) < 80

    monkeypatch.undo()
    network.run(2 * Settings().retry_longest)
    agree(one, other, routes=1)
    assert child not in one.inbound.values()


def _children(end: End) -> list[ChildStatus]:
    return [child for tunnel in end.manager.overview.tunnels() for route in tunnel.routes for child in route.children]
