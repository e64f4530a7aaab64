# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two daemons over a network that drops, duplicates, reorders and corrupts. A failing run prints its seed,
and TANDEM_SEED repeats it."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import secrets

import pytest

from tests.support.virtual_network import Faults, agree, branch, hq, pair

ROUTES = tuple((f"10.1.{number}.0/24", f"10.2.{number}.0/24") for number in range(3))


@pytest.mark.parametrize("fault", ["drop", "duplicate", "reorder", "corrupt"])
@pytest.mark.parametrize("seed", range(15))
@pytest.mark.parametrize("start", ["boot", "answer"])
def test_every_fault_at_three_in_ten(fault, seed, start):
    network, one, other = pair(hq(routes=ROUTES), branch(routes=ROUTES, start=start), seed=seed,
                               faults=Faults(**{fault: 0.3}, until=1120.0))
    network.start()
    network.run(240)
    agree(one, other, routes=3)


@pytest.mark.parametrize("run", range(100))
def test_all_faults_at_once_with_rekeys_in_between(run):
    seed = int(os.environ.get("TANDEM_SEED") or secrets.randbits(32))
    print(f"TANDEM_SEED={seed}")
    orders = random.Random(seed)
    network, one, other = pair(hq(routes=ROUTES), branch(routes=ROUTES), seed=seed,
                               faults=Faults(drop=0.2, duplicate=0.2, reorder=0.3, corrupt=0.05, until=1120.0))
    network.start()
    for _order in range(8):
        network.run(orders.uniform(0.0, 15.0))
        end = orders.choice((one, other))
        with contextlib.suppress(LookupError):  # nothing may be up to be rekeyed
            orders.choice((lambda e: e.manager.rekey_child("lan", network.now),
                           lambda e: e.manager.rekey_ike("peer", network.now),
                           lambda e: e.manager.initiate("peer", network.now)))(end)
    network.run(400)
    agree(one, other, routes=3)
    assert len(one.manager.overview.gateways()[0].ike) == len(other.manager.overview.gateways()[0].ike) == 1


@pytest.mark.parametrize("run", range(60))
def test_routes_that_share_sa_pairs_come_to_rest_whatever_the_network_does(run):
    """Each end asks as it likes. At the end every route of either end is sent on an SA that the other end holds."""
    seed = int(os.environ.get("TANDEM_SEED") or secrets.randbits(32))
    print(f"TANDEM_SEED={seed}")
    orders = random.Random(seed)
    routes = [(f"10.1.{here}.0/24", f"10.2.{there}.0/24") for here in range(2) for there in range(2)]
    ends = [orders.choice(("per-route", "per-tunnel", "per-tunnel")) for _end in range(2)]
    given = orders.sample(routes, orders.randint(2, 4)), orders.choice(("boot", "answer"))
    network, one, other = pair(hq(routes=given[0], sa_pairs=ends[0]),
                               branch(routes=tuple(given[0]), sa_pairs=ends[1], start=given[1]), seed=seed,
                               faults=Faults(drop=0.2, duplicate=0.2, reorder=0.3, corrupt=0.05, until=1120.0))
    network.start()
    for _order in range(8):
        network.run(orders.uniform(0.0, 15.0))
        end = orders.choice((one, other))
        with contextlib.suppress(LookupError):
            orders.choice((lambda e: e.manager.rekey_child("lan", network.now),
                           lambda e: e.manager.rekey_ike("peer", network.now),
                           lambda e: e.manager.initiate("peer", network.now)))(end)
    network.run(400)
    assert one.inbound.keys() == other.outbound.keys() and other.inbound.keys() == one.outbound.keys()
    for end, peer in ((one, other), (other, one)):
        assert len(end.sending) == len(given[0])
        assert all(child.spi_out in peer.inbound for child in end.sending.values())
        assert {row.state for row in end.manager.overview.tunnels()} == {"up"}
        carried = [set(child.routes) for child in end.inbound.values()]
        assert not any(mine <= theirs for mine, theirs in itertools.permutations(carried, 2))
    before = set(one.inbound)
    network.run(60)
    assert set(one.inbound) == before


def test_the_same_seed_gives_the_same_run():
    def run() -> list[tuple[float, int]]:
        network, _one, _other = pair(hq(routes=ROUTES), branch(routes=ROUTES), seed=7,
                                     faults=Faults(drop=0.2, duplicate=0.2, reorder=0.3))
        network.start()
        network.run(100)
        return [(time, len(datagram.data)) for time, datagram in network.sent]

    first, second = run(), run()
    assert first == second and len(first) > 10


def test_retransmissions_back_off_and_end():
    network, one, _other = pair(hq(), branch())
    network.tamper = lambda datagram: None
    one.manager.start(network.now)
    network.run(36)
    mine = [time for time, datagram in network.sent if str(datagram.local.address) == "192.0.2.2"]
    pauses = [later - earlier for earlier, later in itertools.pairwise(mine)]
    assert len(mine) == 8
    assert all(later > 1.3 * earlier for earlier, later in itertools.pairwise(pauses[:6]))
    network.run(10)
    assert "is silent: no answer to IKE_SA_INIT" in one.reasons[0]
