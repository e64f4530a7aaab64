# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tunnel routes share an SA pair."""

from __future__ import annotations

import random

import pytest
from ikeengine.vpn.model import Route
from ikeengine.vpn.selectors import Selector
from ikeengine.vpn.sharing import groups

PRODUCT = [Route(Selector.parse(f"10.1.{here}.0/24"), Selector.parse(f"10.2.{there}.0/24"))
           for here in range(3) for there in range(3)]


@pytest.mark.parametrize("seed", range(50))
def test_both_ends_that_declare_routes_in_one_order_come_to_the_same_groups(seed):
    routes = random.Random(seed).sample(PRODUCT, 2 + seed % 7)
    far = groups([route.mirrored for route in routes])
    assert [tuple(route.mirrored for route in group) for group in far] == groups(routes)
