# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tunnel routes of a site overlap, held against comparing all pairs."""

import os
import random
import time
from collections import Counter

import pytest
from ikeengine.vpn.model import Route
from ikeengine.vpn.rules.route_overlaps import NamedRoute, overlaps
from ikeengine.vpn.selectors import Selector


def test_the_sweep_finds_what_comparing_all_pairs_does():
    seed = int(os.environ.get("TANDEM_SEED") or random.randrange(2**32))
    print(f"seed {seed}")
    draw = random.Random(seed)

    def selector(octet, width):
        first = draw.randrange(60)
        return Selector.parse(f"10.{octet}.0.{first}-10.{octet}.0.{first + draw.randrange(width)}")

    seen = {"ambiguous": 0, "nested": 0}
    for _ in range(500):
        width = draw.choice((9, 40))
        routes = [NamedRoute(Route(selector(1, width), selector(2, width)), str(number))
                  for number in range(draw.randrange(14))]
        ambiguous, nested = set(), set()
        for here in routes:
            for there in routes:
                one, other = here.route, there.route
                if here is there or not (one.local.overlaps(other.local) and one.remote.overlaps(other.remote)):
                    continue
                wide = one.local.contains(other.local) and one.remote.contains(other.remote)
                narrow = other.local.contains(one.local) and other.remote.contains(one.remote)
                if wide and not narrow:
                    nested.add((here.tunnel, there.tunnel))
                elif wide is narrow and int(here.tunnel) < int(there.tunnel):
                    ambiguous.add((here.tunnel, there.tunnel))
        found = overlaps(routes)
        found_ambiguous = {(one.tunnel, other.tunnel) for one, other in found.ambiguous}
        found_nested = {(wide.tunnel, narrow.tunnel) for wide, narrow, _more in found.nested}
        assert found_ambiguous <= ambiguous and bool(found_ambiguous) == bool(ambiguous)
        assert found_nested <= nested
        if not ambiguous:
            assert {wide.tunnel: more + 1 for wide, _narrow, more in found.nested} == Counter(
                wide for wide, _narrow in nested)
        seen["ambiguous"] += bool(ambiguous)
        seen["nested"] += bool(nested)
    assert min(seen.values()) > 5


def test_a_default_route_beside_narrower_ones_is_nested_not_ambiguous(hq, findings):
    hq["tunnels"].append({"name": "rest", "gateway": "branch", "routes": [{"local": "10.1.0.0/24",
                                                                          "remote": "0.0.0.0/0"}]})
    hq["tunnels"].append({"name": "voice", "gateway": "branch", "routes": [{"local": "10.1.0.8/29",
                                                                           "remote": "10.9.0.0/24"}]})
    said = {finding.code: finding.message for finding in findings() if finding.code.startswith("routes-")}
    assert said == {"routes-nested": (
        "site hq: tunnel routes: tunnel rest has 10.1.0.0/24 <-> 0.0.0.0/0, "
        "tunnel lan has 10.1.0.0/24 <-> 10.2.0.0/24, and 1 more: the narrower one has its traffic, whether "
        "its tunnel is up or not. Keep it so where that is meant, or make them disjoint.")}


def _ranges(count, network):
    """Ranges of which each has the next in it."""
    return [Selector.parse(f"10.{network}.{number // 250}.{number % 250}-10.{network + 1}.0.0")
            for number in range(count)]


@pytest.mark.parametrize("routes", [
    [Route(Selector.parse(f"10.{number // 250}.{number % 250}.0/24"), Selector.parse("172.16.0.0/12"))
     for number in range(5000)],
    [Route(Selector.parse("172.16.0.0/12"), Selector.parse(f"10.{number // 250}.{number % 250}.0/24"))
     for number in range(5000)],
    [Route(local, remote) for local, remote in zip(_ranges(5000, 1), _ranges(5000, 3), strict=True)],
    [Route(local, Selector.parse("172.16.0.0/12")) for local in _ranges(5000, 1)],
    [Route(Selector.parse("10.0.0.0/8"), Selector.parse("172.16.0.0/12"))] * 5000,
], ids=["apart locally", "apart remotely", "nested", "nested locally", "the same"])
def test_time_is_not_quadratic(routes):
    named = [NamedRoute(route, str(number)) for number, route in enumerate(routes)]
    random.Random(0).shuffle(named)
    started = time.process_time()
    overlaps(named)
    assert time.process_time() - started < 1
