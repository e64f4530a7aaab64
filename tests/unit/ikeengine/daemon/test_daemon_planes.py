# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which data plane a tunnel gets when the two must not share a port, and how long a plane lives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest
from ikeengine.daemon.declared import parse
from ikeengine.daemon.planes import DataPlanes, Unservable
from ikeengine.dataplane.choice import Choice
from ikeengine.dataplane.interface import DataPlaneError
from ikeengine.vpn.model import DataPlaneChoice, EndpointPair, Side, Tunnel
from ikeengine.vpn.selectors import Selector

Json = dict[str, Any]


def _choose(tunnel: Tunnel, kernel_has_port: bool | None) -> Choice:
    """A kernel that lacks AES-GCM-192, and the port's rule."""
    able = {"kernel": tunnel.proposals[0].name != "gcm" and kernel_has_port is not False,
            "userspace": kernel_has_port is not True}
    wanted = [tunnel.dataplane.value] if tunnel.dataplane is not DataPlaneChoice.AUTO else ["kernel", "userspace"]
    for name in wanted:
        if able[name]:
            return Choice(name, "able")
    raise DataPlaneError(f"tunnel {tunnel.name}: nothing can serve it")


@pytest.fixture
def side(declare: Callable[..., Json], secrets: Json) -> Callable[..., Side]:
    def build(**tunnels: tuple[str, str]) -> Side:
        """Tunnels by name, each with its proposal and its choice of data plane."""
        data = declare("hq")
        data["proposals"] = [{"name": "gcm", "encryption": "AES-GCM-192"}]
        [pattern] = data["tunnels"]
        data["tunnels"] = [{**pattern, "name": name, "proposals": [proposal], "dataplane": plane,
                            "routes": [{"local": f"10.10.{number}.0/24", "remote": f"10.20.{number}.0/24"}]}
                           for number, (name, (proposal, plane)) in enumerate(tunnels.items())]
        return parse(data, secrets).side

    return build


@pytest.mark.parametrize(("makers", "encapsulates"), [
    (["userspace"], True), (["kernel", "userspace"], False), (["kernel"], False), ([], False)])
def test_a_gateway_without_tunnels_is_ready_for_those_of_the_only_plane(makers: list[str], encapsulates: bool) -> None:
    """Or its IKE SA could not carry the first one that is declared."""
    planes = DataPlanes(_choose, {name: lambda: None for name in makers})  # type: ignore[return-value,misc]
    assert planes.encapsulates("peer") is encapsulates


@pytest.mark.parametrize(("tunnels", "planes"), [
    ({"a": ("default", "auto")}, ["kernel"]),
    ({"a": ("gcm", "auto")}, ["userspace"]),
    ({"a": ("default", "auto"), "b": ("default", "userspace")}, ["userspace", "userspace"]),
    ({"a": ("default", "auto"), "b": ("gcm", "auto")}, ["userspace", "userspace"]),
])
def test_one_plane_has_the_port_of_an_address_family(side: Callable[..., Side], tunnels: dict[str, tuple[str, str]],
                                                     planes: list[str]) -> None:
    plan = DataPlanes(_choose, {}).plan(side(**tunnels))
    assert [plan.planes[name] for name in tunnels] == planes
    assert plan.kernel_has_port(4) is (planes[0] == "kernel")
    assert plan.kernel_has_port(6) is plan.kernel_has_port(4), "no tunnel is IPv6's, and a peer may move there"


def test_two_explicit_choices_that_exclude_each_other_are_refused(side: Callable[..., Side]) -> None:
    with pytest.raises(Unservable, match="tunnel b: nothing can serve it"):
        DataPlanes(_choose, {}).plan(side(a=("default", "kernel"), b=("default", "userspace")))


def _on_families(side: Side, families: dict[str, tuple[int, ...]]) -> Side:
    """The same tunnels, each with a gateway of its own whose endpoint pairs are of these address families."""
    [gateway] = side.gateways
    four = gateway.endpoints[0]
    six = EndpointPair(*(replace(end, address=ip_address(address)) for end, address in (
        (four.local, "2001:db8::1"), (four.remote, "2001:db8::2"))))
    return replace(side, tunnels=tuple(replace(row, gateway=row.name) for row in side.tunnels), gateways=tuple(
        replace(gateway, name=name, endpoints=tuple(six if version == 6 else four for version in versions))
        for name, versions in families.items()))


def test_a_gateway_of_both_address_families_needs_the_port_of_both(side: Callable[..., Side]) -> None:
    families = {"a": (4,), "b": (6,), "c": (4, 6)}
    kernel, userspace = ("default", "kernel"), ("default", "userspace")
    plan = DataPlanes(_choose, {}).plan(_on_families(side(a=("gcm", "auto"), c=("default", "auto")), families))
    assert plan.planes == {"a": "userspace", "c": "userspace"}
    plan = DataPlanes(_choose, {}).plan(_on_families(side(c=kernel), families))
    assert plan.kernel_has_port(4) and plan.kernel_has_port(6)
    with pytest.raises(Unservable, match="tunnel c: data plane: its gateway has endpoints of both address families"):
        DataPlanes(_choose, {}).plan(_on_families(side(a=kernel, b=userspace, c=("default", "auto")), families))


def test_a_tunnel_keeps_its_plane_when_others_come_and_an_idle_plane_ends(pair: Any, side: Callable[..., Side]) -> None:
    kernel, userspace = type(pair.hq_plane)(name="kernel"), pair.hq_plane
    planes = DataPlanes(_choose, {"kernel": lambda: kernel, "userspace": lambda: userspace})
    planes.start(planes.plan(side(a=("gcm", "auto"))), lambda event: None)
    assert kernel.stopped is False and userspace.stopped is None  # what an earlier run left there is cleared away
    plan = planes.plan(side(a=("gcm", "auto"), b=("default", "auto")))
    assert plan.planes == {"a": "userspace", "b": "userspace"}
    planes.protect(plan)
    assert planes.unprotect(planes.adopt(plan)) == []
    nothing = planes.plan(side())
    planes.unprotect(planes.adopt(nothing))
    assert userspace.stopped is False and userspace.protections == set()


def test_a_tunnel_is_never_in_its_own_way(pair: Any, side: Callable[..., Side]) -> None:
    def choose(tunnel: Tunnel, kernel_has_port: bool | None) -> Choice:
        return replace(_choose(tunnel, kernel_has_port), reason=f"the port is {kernel_has_port}")

    kernel, userspace = type(pair.hq_plane)(name="kernel"), pair.hq_plane
    planes = DataPlanes(choose, {"kernel": lambda: kernel, "userspace": lambda: userspace})
    plan = planes.plan(side(a=("gcm", "auto")))
    planes.start(plan, lambda event: None)
    assert plan.reasons == planes.plan(side(a=("gcm", "auto"))).reasons == {"a": "the port is None"}
    planes.adopt(both := planes.plan(side(a=("gcm", "auto"), b=("default", "auto"))))
    assert both.planes["b"] == "userspace" and both.reasons["b"] == "the port is False"
    stays = planes.plan(side(b=("default", "auto")))
    assert stays.planes == {"b": "userspace"}
    assert stays.reasons["b"] == "the kernel can serve it, too, and does once the daemon starts anew"


def test_a_reload_that_widens_a_route_never_takes_the_new_protection_down(pair: Any, side: Callable[..., Side]) -> None:
    plane = pair.hq_plane
    planes = DataPlanes(_choose, {"userspace": lambda: plane})
    before = side(a=("gcm", "auto"))
    planes.start(planes.plan(before), lambda event: None)
    [tunnel] = before.tunnels
    wider = replace(tunnel.routes[0], remote=Selector.parse("10.20.0.0/16"))
    planes.protect(plan := planes.plan(replace(before, tunnels=(replace(tunnel, routes=(wider,)),))))
    plane.calls.clear()
    assert planes.unprotect(planes.adopt(plan)) == []
    assert plane.calls == [("unprotect", str(tunnel.routes[0]))]
    assert [item.route for item in plane.protections] == [wider]


def test_what_another_plane_left_goes_only_once_the_new_protections_stand(pair: Any, side: Callable[..., Side]) -> None:
    """Its policies are replaced in place; to clear them away before would let clear text in and out."""
    kernel, userspace = type(pair.hq_plane)(name="kernel"), pair.hq_plane
    kernel.calls = userspace.calls
    planes = DataPlanes(_choose, {"kernel": lambda: kernel, "userspace": lambda: userspace})
    planes.start(planes.plan(side(a=("gcm", "auto"))), lambda event: None)
    assert [call for call, _what in userspace.calls] == ["protect", "clear_leftovers", "clear_leftovers"]
