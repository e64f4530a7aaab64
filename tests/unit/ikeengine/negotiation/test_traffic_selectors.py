# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a peer gets of the tunnel routes for what it proposes (RFC 7296 §2.9)."""

from __future__ import annotations

import random
from ipaddress import ip_address
from itertools import pairwise

import pytest
from ikeengine.negotiation.traffic_selectors import Narrowed, agreed, joined, narrow, selectors_of, to_wire
from ikeengine.vpn.model import Route, Tunnel
from ikeengine.vpn.selectors import Selector
from ikeengine.wire.traffic_selectors import TrafficSelector

A, B, C = "10.1.0.0/24", "10.1.1.0/24", "10.1.2.0/24"
X, Y = "10.2.0.0/24", "10.2.1.0/24"
A6, X6 = "fd00:1::/64", "fd00:2::/64"


def route(text: str) -> Route:
    local, remote = text.split(" ")
    return Route(Selector.parse(local), Selector.parse(remote))


def tunnel(*routes: str, name: str = "lan") -> Tunnel:
    return Tunnel(name, "branch", tuple(map(route, routes)), (), None)


def wire(*texts: str) -> list[TrafficSelector]:
    return [to_wire(Selector.parse(text)) for text in texts]


def packet(address: str, protocol: int = 6, port: int = 443) -> TrafficSelector:
    """The first selector of an initiator that had a packet to send."""
    return TrafficSelector(ip_address(address), ip_address(address), protocol, port, port)


def narrowed(local, remote, *tunnels: Tunnel, covered: tuple[str, ...] = ()) -> Narrowed | None:
    taken = set(map(route, covered))
    return narrow(local, remote, [(row, each) for row in tunnels for each in row.routes],
                  lambda _tunnel, each: each in taken)


def given(found: Narrowed | None) -> list[str]:
    assert found is not None
    return [f"{part.local} {part.remote}" for _declared, part in found.parts]


def test_all_pairs_of_what_is_proposed_share_one_sa():
    found = narrowed(wire(A, B), wire(X, Y), tunnel(f"{A} {X}", f"{A} {Y}", f"{B} {X}", f"{B} {Y}"))
    assert given(found) == [f"{A} {X}", f"{A} {Y}", f"{B} {X}", f"{B} {Y}"] and not found.more
    local, remote = selectors_of(found.parts)
    assert (list(local), list(remote)) == (wire(A, B), wire(X, Y))


def test_what_is_no_product_is_narrowed_to_one_that_has_the_first_selectors():
    rows = tunnel(f"{A} {X}", f"{A} {Y}", f"{B} {X}")
    found = narrowed(wire(A, B), wire(Y, X), rows)
    assert given(found) == [f"{A} {X}", f"{A} {Y}"] and found.more
    found = narrowed(wire(B, A), wire(X, Y), rows)
    assert given(found) == [f"{A} {X}", f"{B} {X}"] and found.more


def test_routes_of_different_tunnels_never_share_an_sa_and_the_rest_is_told():
    found = narrowed(wire(A, B), wire(X), tunnel(f"{A} {X}"), tunnel(f"{B} {X}", name="other"))
    assert given(found) == [f"{A} {X}"] and found.more
    found = narrowed(wire(A, B), wire(X), tunnel(f"{A} {X}"), tunnel(f"{B} {X}", name="other"), covered=(f"{A} {X}",))
    assert (given(found), found.tunnel.name, found.more) == ([f"{B} {X}"], "other", False)


def test_what_has_an_sa_already_is_given_again_only_where_all_has():
    rows = tunnel(f"{A} {X}", f"{B} {X}")
    assert given(narrowed(wire(A, B), wire(X), rows, covered=(f"{A} {X}",))) == [f"{B} {X}"]
    assert given(narrowed(wire(A, B), wire(X), rows, covered=(f"{A} {X}", f"{B} {X}"))) == [f"{A} {X}", f"{B} {X}"]


def test_both_address_families_share_one_sa():
    rows = tunnel(f"{A} {X}", f"{A6} {X6}", f"{B} {X}")
    assert given(narrowed(wire(A6, A, B), wire(X, X6), rows)) == [f"{A} {X}", f"{A6} {X6}", f"{B} {X}"]


def test_a_proposal_of_everything_gets_all_that_is_declared():
    rows = tunnel(f"{A} {X}", f"{B} {X}")
    found = narrowed(wire("0.0.0.0/0"), wire("0.0.0.0/0"), rows)
    assert given(found) == [f"{A} {X}", f"{B} {X}"]


def test_the_packet_that_the_peer_wants_to_send_decides():
    rows = tunnel(f"{A} {X}"), tunnel(f"{B} {X}", name="other")
    everything = wire("0.0.0.0/0")
    assert given(narrowed([packet("10.1.1.5"), *everything], [packet("10.2.0.9"), *everything], *rows)) == [f"{B} {X}"]
    assert given(narrowed([packet("10.1.0.5"), *everything], [packet("10.2.0.9"), *everything], *rows)) == [f"{A} {X}"]


def test_a_packet_that_the_rest_of_the_proposal_leaves_out_decides_nothing():
    rows = tunnel(f"10.1.0.0/16 {X}", f"{A} {X}")
    assert given(narrowed([packet("10.1.9.9"), *wire(A)], [packet("10.2.0.9"), *wire(X)], rows)) == [f"{A} {X}"]


def test_selectors_for_single_protocols_or_ports_alone_get_nothing():
    assert not isinstance(narrowed([packet("10.1.0.5")], [packet("10.2.0.9")], tunnel(f"{A} {X}")), Narrowed)


@pytest.mark.parametrize(("local", "remote", "parts"), [
    ("10.1.0.128/25", X, ["10.1.0.128/25 10.2.0.0/24"]),
    ("10.1.0.7", "10.2.0.0/16", ["10.1.0.7 10.2.0.0/24"]),
    ("10.1.0.10-10.1.0.20", "10.2.0.3-10.2.0.9", ["10.1.0.10-10.1.0.20 10.2.0.3-10.2.0.9"]),
    ("10.0.255.0-10.1.0.9", X, ["10.1.0.0-10.1.0.9 10.2.0.0/24"]),
])
def test_one_route_is_narrowed_to_what_both_ends_have(local, remote, parts):
    assert given(narrowed(wire(local), wire(remote), tunnel(f"{A} {X}"))) == parts


def test_several_parts_of_one_route_share_its_sa():
    found = narrowed(wire("10.1.0.0/26", "10.1.0.64/26", "10.1.0.192/26"), wire(X), tunnel(f"{A} {X}"))
    assert given(found) == ["10.1.0.0/25 10.2.0.0/24", "10.1.0.192/26 10.2.0.0/24"]
    assert {str(declared) for declared, _part in found.parts} == {f"{A} <-> {X}"}


def test_of_nested_routes_the_one_that_is_meant_is_given():
    rows = tunnel(f"{A} {X}", f"10.1.0.64/26 {X}")
    assert given(narrowed(wire("10.1.0.64/26"), wire(X), rows)) == [f"10.1.0.64/26 {X}"]
    assert given(narrowed(wire(A), wire(X), rows)) == [f"{A} {X}"]
    assert given(narrowed(wire("10.1.0.64/26"), wire(X), rows, covered=(f"10.1.0.64/26 {X}",))) == [f"10.1.0.64/26 {X}"]


def test_an_answer_may_be_less_than_what_was_proposed_and_never_more():
    proposed = [route(f"{A} {X}"), route(f"{B} {X}")]
    assert agreed(wire(A, B), wire(X), proposed) == tuple((row, row) for row in proposed)
    assert agreed(wire("10.1.0.0/23"), wire(X), proposed) == tuple((row, row) for row in proposed)
    assert agreed(wire(B), wire(X), proposed) == ((proposed[1], proposed[1]),)
    assert agreed(wire("10.1.1.7"), wire(X), proposed) == ((proposed[1], route(f"10.1.1.7 {X}")),)
    for local, remote in ((wire(A, C), wire(X)), (wire("10.1.0.0/22"), wire(X)), (wire(A), wire("10.2.0.0/23")),
                          ([], wire(X)), (wire(A), []), (wire(A6), wire(X6)), ([packet("10.1.0.1")], wire(X))):
        assert not isinstance(agreed(local, remote, proposed), tuple)


def test_joined_ranges_hold_the_same_addresses():
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for _time in range(200):
        rows = []
        for _row in range(chance.randint(1, 6)):
            low = chance.randrange(60)
            rows.append(Selector(ip_address(low), ip_address(low + chance.randrange(8))))
        ranges = joined(rows)
        assert ({number for row in rows for number in range(row.low, row.high + 1)}
                == {number for row in ranges for number in range(row.low, row.high + 1)})
        assert all(one.high + 1 < other.low for one, other in pairwise(ranges))


def test_what_a_peer_cuts_into_splinters_gets_few_of_them():
    """Each pair of ranges costs the data plane for every packet."""
    splinters = [[to_wire(Selector.parse(f"{net}{number}")) for number in range(0, 254, 2)]
                 for net in ("10.1.0.", "10.2.0.")]
    rows = tunnel(f"{A} {X}")
    found = narrowed(*splinters, rows)
    assert len(given(found)) == 256
    local, remote = selectors_of(found.parts)
    assert agreed(local, remote, rows.routes) == found.parts
    assert agreed(*splinters, rows.routes) is None
