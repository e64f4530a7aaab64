# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of a proposal that is but in part one of a tunnel's."""

from __future__ import annotations

import pytest
from ikeengine.negotiation.reasons import Reason
from ikeengine.negotiation.routes_apart import told_of_narrowing
from ikeengine.negotiation.traffic_selectors import narrow, to_wire
from ikeengine.vpn.selectors import Selector
from ikeengine.wire.traffic_selectors import TrafficSelector

from tests.support.virtual_network import hq

LOCAL, REMOTE = ("10.1.0.0/24", "10.1.1.0/24"), ("10.2.0.0/24", "10.2.1.0/24")
REASON = Reason("both ends need the same")


def told(sa_pairs: str, covered: int, local: list[TrafficSelector], remote: list[TrafficSelector]) -> str:
    """What a tunnel with all four routes says, of which the first have an SA."""
    (tunnel,) = hq(routes=tuple((one, other) for one in LOCAL for other in REMOTE), sa_pairs=sa_pairs).tunnels
    found = narrow(local, remote, [(tunnel, route) for route in tunnel.secured],
                   lambda _tunnel, route: route in tunnel.secured[:covered])
    assert found is not None
    return told_of_narrowing(REASON, found, local, remote).rule


@pytest.mark.parametrize("sa_pairs", ["per-route", "per-tunnel"])
@pytest.mark.parametrize("covered", [0, 1, 2, 4])
def test_a_proposal_is_wholly_one_of_a_tunnel_of_which_some_routes_need_no_sa(sa_pairs, covered):
    assert told(sa_pairs, covered, selectors(*LOCAL), selectors(*REMOTE)) == REASON.rule


@pytest.mark.parametrize("covered", [0, 1])
@pytest.mark.parametrize(("local", "remote"), [((*LOCAL, "10.9.0.0/24"), REMOTE), (LOCAL, ("10.2.0.0/16",))])
def test_a_proposal_of_which_the_tunnel_has_but_a_part_is_told_so(covered, local, remote):
    assert told("per-tunnel", covered, selectors(*local), selectors(*remote)) == (
        f"both ends need the same; and the tunnel route that the peer proposes, {', '.join(local)} <-> "
        f"{', '.join(remote)}, is only in part one of tunnel lan")


def selectors(*texts: str) -> list[TrafficSelector]:
    return [to_wire(Selector.parse(text)) for text in texts]
