# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose a policy is that several protections want."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

from ikeengine.dataplane.interface import Protection
from ikeengine.dataplane.xfrm.binding import Binding
from ikeengine.dataplane.xfrm.claims import Claims
from ikeengine.dataplane.xfrm.messages import XFRM_POLICY_OUT
from ikeengine.dataplane.xfrm.policies import Key
from ikeengine.vpn.model import Protocol, Route
from ikeengine.vpn.selectors import Selector


def protection(reqid: int, remote: str, *near: str) -> Protection:
    return Protection("lan", Route(Selector.parse("10.1.0.0/24"), Selector.parse(remote)), reqid, Protocol.ESP,
                      ip_address("192.0.2.1"), ip_address("198.51.100.1"), tuple(map(Selector.parse, near)))


def outbound(remote: str) -> Key:
    return Key(ip_network("10.1.0.0/24"), ip_network(remote), XFRM_POLICY_OUT)


def test_a_prefix_of_two_routes_is_the_narrower_ones_in_whatever_order_they_come():
    wide, narrow = protection(1, "10.2.0.0-10.2.0.191"), protection(2, "10.2.0.0/25")
    for order in ((wide, narrow), (narrow, wide)):
        claims = Claims()
        for each in order:
            claims.add(each)
        assert claims.owner(outbound("10.2.0.0/25")) is narrow
        assert claims.owner(outbound("10.2.0.128/26")) is wide
        assert outbound("10.2.0.0/25") in claims.drop(narrow)
        assert claims.owner(outbound("10.2.0.0/25")) is wide
        claims.drop(wide)
        assert outbound("10.2.0.0/25") not in claims and claims.owner(outbound("10.2.0.0/25")) is None


def test_what_is_near_belongs_to_no_route_and_goes_with_the_last_that_contains_it():
    one, other = protection(1, "0.0.0.0/0", "10.1.0.0/24"), protection(2, "0.0.0.0/1", "10.1.0.0/24")
    claims = Claims()
    assert len(claims.add(one)) == 6 and len(claims.add(other)) == 6
    near = outbound("10.1.0.0/24")
    assert near in claims and claims.owner(near) is None
    claims.drop(one)
    assert near in claims
    claims.drop(other)
    assert near not in claims


def test_what_the_kernel_lets_pass_is_marked_by_its_priority_alone():
    assert Key(ip_network("10.1.0.0/24"), ip_network("10.1.0.0/24"), XFRM_POLICY_OUT, kernel_passes=True) == outbound(
        "10.1.0.0/24")
    passing = Key(ip_network("10.1.0.0/24"), ip_network("10.1.0.0/24"), XFRM_POLICY_OUT, kernel_passes=True)
    assert passing.priority == outbound("10.1.0.0/24").priority + 1 < outbound("10.2.0.0/23").priority


def test_what_is_declared_to_be_routed_into_a_vti_goes_before_what_lets_it_pass_elsewhere():
    everything = Route(Selector.parse("0.0.0.0/0"), Selector.parse("0.0.0.0/0"))
    routed = protection(1, "10.7.0.0/24").route
    transit = replace(protection(2, "0.0.0.0/0"), route=everything, routed=(routed,), device="vpn0")
    claims = Claims()
    claims.add(protection(3, "0.0.0.0/0", "10.7.0.0/24"))
    vti, xfrm = claims.add(transit, Binding(mark=5)), Claims().add(transit, Binding(if_id=5))
    marked = replace(outbound("10.7.0.0/24"), binding=Binding(mark=5))
    assert marked in vti and claims.owner(marked) is transit
    assert marked.priority < replace(outbound("10.7.0.0/24"), kernel_passes=True).priority
    assert (len(vti), len(xfrm)) == (6, 3), "only that interface has what is its own"
