# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IKEv1 over a network that loses, duplicates, delays and corrupts; once it is perfect, both ends agree."""

from __future__ import annotations

import contextlib
import os
import random
import secrets

import pytest

from tests.support.ikev1 import branch, hq
from tests.support.virtual_network import Faults, agree, pair

ROUTES = tuple((f"10.1.{number}.0/24", f"10.2.{number}.0/24") for number in range(3))
CHEAP = {"transforms": ({"name": "p1", "authentication": "SHA2-256", "encryption": "AES-128", "key_group": 19},),
         "pfs": {"enabled": True, "key_group": 19}, "routes": ROUTES}


@pytest.mark.parametrize("fault", ["drop", "duplicate", "reorder", "corrupt"])
@pytest.mark.parametrize("seed", range(15))
@pytest.mark.parametrize("start", ["boot", "answer"])
@pytest.mark.parametrize("mode", ["main", "aggressive"])
def test_every_fault_at_three_in_ten(fault, seed, start, mode):
    network, one, other = pair(hq(gateway={"mode": mode}, **CHEAP),
                               branch(gateway={"mode": mode}, start=start, **CHEAP), seed=seed,
                               faults=Faults(**{fault: 0.3}, until=1120.0))
    network.start()
    network.run(300)
    agree(one, other, routes=3)


@pytest.mark.parametrize("run", range(60))
@pytest.mark.parametrize("mode", ["main", "aggressive", "main-fallback-aggressive"])
def test_all_faults_at_once_with_rekeys_in_between(run, mode):
    seed = int(os.environ.get("TANDEM_SEED") or secrets.randbits(32))
    print(f"TANDEM_SEED={seed}")
    orders = random.Random(seed)
    network, one, other = pair(hq(gateway={"mode": mode}, **CHEAP),
                               branch(gateway={"mode": mode}, start="boot", **CHEAP), seed=seed,
                               faults=Faults(drop=0.2, duplicate=0.2, reorder=0.3, corrupt=0.05, until=1120.0))
    network.start()
    for _order in range(8):
        network.run(orders.uniform(0.0, 15.0))
        end = orders.choice((one, other))
        with contextlib.suppress(LookupError):  # nothing may be up to be rekeyed
            orders.choice((lambda e: e.manager.rekey_child("lan", network.now),
                           lambda e: e.manager.rekey_ike("peer", network.now),
                           lambda e: e.manager.initiate("peer", network.now)))(end)
    network.run(500)
    agree(one, other, routes=3)
    assert len(one.manager.overview.gateways()[0].ike) == len(other.manager.overview.gateways()[0].ike) == 1
