# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our reckoning of ranges and prefixes against an independent one."""

from __future__ import annotations

import ipaddress

import netaddr
from hypothesis import given
from hypothesis import strategies as st
from ikeengine.vpn.selectors import Selector

V4, V6 = st.integers(0, 2**32 - 1).map(ipaddress.IPv4Address), st.integers(0, 2**128 - 1).map(ipaddress.IPv6Address)


def _selector(ends):
    first, last = sorted(ends, key=int)
    return Selector(first, last)


RANGES = st.one_of(st.tuples(V4, V4), st.tuples(V6, V6)).map(_selector)


def _set(selector: Selector) -> netaddr.IPSet:
    return netaddr.IPSet(netaddr.IPRange(str(selector.first), str(selector.last)))


@given(RANGES)
def test_prefixes_are_the_fewest_that_cover_the_range(selector):
    theirs = netaddr.iprange_to_cidrs(str(selector.first), str(selector.last))
    assert list(selector.prefixes()) == [ipaddress.ip_network(str(prefix)) for prefix in theirs]


@given(RANGES, RANGES)
def test_overlap_containment_and_intersection(one, other):
    if one.version != other.version:
        assert not one.overlaps(other) and not one.contains(other) and one.intersection(other) is None
        return
    shared = _set(one) & _set(other)
    assert one.overlaps(other) == bool(shared)
    assert one.contains(other) == _set(other).issubset(_set(one))
    intersection = one.intersection(other)
    assert (_set(intersection) if intersection else netaddr.IPSet()) == shared


@given(RANGES)
def test_what_is_printed_is_read_again(selector):
    assert Selector.parse(str(selector)) == selector
