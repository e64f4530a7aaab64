# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""While the devices of route-based tunnels change, nothing that is declared before and after goes past them: where
packets would go is looked up before and after everything that the data planes ask of the kernel."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.dataplane.test_half_done import told

pytestmark = pytest.mark.hosts

PRELUDE = """
from ikeengine.dataplane.netlink import NetlinkSocket
shell("ip link set lo up; ip link add wan type veth peer name lan; "
      "ip link set lan up; ip address add 192.0.2.1/24 dev wan; "
      "ip address add fd00:9::1/64 dev wan nodad; ip link set wan up; "
      "ip route add default via 192.0.2.254; ip route add default via fd00:9::fe")
watched, seen = [], []

def way(target):
    with socket.socket(socket.AF_INET6 if ":" in target else socket.AF_INET, socket.SOCK_DGRAM) as trial:
        try:
            trial.connect((target, 9))
        except OSError:
            return "nowhere"
        return "past the tunnels" if trial.getsockname()[0] in ("192.0.2.1", "fd00:9::1") else "into a tunnel"

def look():
    seen.extend((target, way(target)) for target in watched)

exchange = NetlinkSocket._exchange
def watching(*arguments):
    look()
    try:
        return exchange(*arguments)
    finally:
        look()
NetlinkSocket._exchange = watching

def site(**tunnels):
    rows = [{"name": name, "gateway": name, "dataplane": plane, "interface": {
        "name": device, "addresses": ["169.254.7.1/30", "fd00:7::1/126"], **more},
        "routes": [{"local": "10.1.0.0/24", "remote": f"10.{net}.0.0/24"},
                   {"local": "fd00:1::/64", "remote": f"fd00:{net}::/64"}]}
            for name, (plane, device, net, more) in tunnels.items()]
    return declaration.read({"site": {"name": "hq"}, "tunnels": rows, "gateways": [
        {"name": name, "credential": {"method": "psk", "psk": "correct horse battery staple"},
         "endpoints": [{"local": {"address": "192.0.2.1"}, "remote": {"address": f"198.51.100.{ord(name)}"}}]}
        for name in tunnels]})

def watch(*nets):
    watched.extend(target for net in nets for target in (f"10.{net}.0.9", f"fd00:{net}::9"))

def devices():
    return sorted(name for _number, name in socket.if_nameindex() if name.startswith("vpn"))

def routes():
    return shell("ip route show proto 206; ip route show proto 207; ip -6 route show proto 206; "
                 "ip -6 route show proto 207")

def tell(**more):
    look()
    print(json.dumps({"past": sorted({target for target, to in seen if to == "past the tunnels"}),
                      "now": sorted({way(target) for target in watched}), "devices": devices(), "routes": routes(),
                      "departures": [row.what for row in planes.audit()], **more}))

def reload(before, after, *nets):
    planes.start(planes.plan(before), nothing)
    watch(*nets)
    plan = planes.plan(after)
    planes.protect(plan)
    tell(errors=list(map(str, planes.unprotect(planes.adopt(plan)))))
"""


#: What is declared before and after, which networks stay, and whose devices are there in the end. P and Q stand for
#: the data planes before and after.
CHANGES = {
    "another name": ({"a": ("P", "vpn0", 2, {})}, {"a": ("Q", "vpn1", 2, {})}, [2], ["vpn1"]),
    "another name, and the metric of what blocked": (
        {"a": ("P", "vpn0", 2, {"metric": 30})}, {"a": ("Q", "vpn1", 2, {"metric": 31})}, [2], ["vpn1"]),
    "another tunnel": ({"a": ("P", "vpn0", 2, {})}, {"b": ("Q", "vpn1", 2, {})}, [2], ["vpn1"]),
    "another metric": ({"a": ("P", "vpn0", 2, {"metric": 30})}, {"a": ("Q", "vpn0", 2, {"metric": 10})}, [2], ["vpn0"]),
    "names change places": ({"a": ("P", "vpn0", 2, {}), "b": ("P", "vpn1", 3, {})},
                            {"a": ("Q", "vpn1", 2, {}), "b": ("Q", "vpn0", 3, {})}, [2, 3], ["vpn0", "vpn1"]),
    "networks change places": ({"a": ("P", "vpn0", 2, {}), "b": ("P", "vpn1", 3, {})},
                               {"a": ("Q", "vpn0", 3, {}), "b": ("Q", "vpn1", 2, {})}, [2, 3], ["vpn0", "vpn1"]),
}


def told_of(change: str, before: str, after: str, prelude: str = "") -> Any:
    """What ``reload`` tells of it, with that data plane before and that one after."""
    was, to_be, nets, _devices = CHANGES[change]
    return told(f"{PRELUDE}{prelude}\nP, Q = {before!r}, {after!r}\nreload(site(**{was}), site(**{to_be}), *{nets})"
                .replace("'P'", "P").replace("'Q'", "Q"))


def holds(change: str, said: Any) -> None:
    """Nothing was on its way past the tunnels, and what is to be there is."""
    _before, _after, nets, devices = CHANGES[change]
    assert (said["errors"], said["departures"], said["past"]) == ([], [], [])
    assert (said["devices"], said["now"]) == (devices, ["into a tunnel"])
    assert len(said["routes"].splitlines()) == 4 * len(nets)


@pytest.mark.parametrize("change", CHANGES)
def test_nothing_goes_past_a_device_that_changes(change: str) -> None:
    holds(change, told_of(change, "userspace", "userspace"))


TWO = "a=('userspace', 'vpn0', 2, {}), b=('userspace', 'vpn1', 3, {})"


def test_what_a_crash_left_stays_until_it_is_wanted_again() -> None:
    said = told(PRELUDE + f"""
planes.start(planes.plan(site({TWO})), nothing)
planes.stop(keep_protection=True)
watch(2, 3)
planes = DataPlanes(planes._choose, planes._makers)
planes.start(planes.plan(site({TWO})), nothing)
tell()""")
    assert (said["past"], said["now"], said["departures"]) == ([], ["into a tunnel"], [])


def test_what_a_crash_left_and_nobody_wants_again_goes() -> None:
    said = told(PRELUDE + f"""
planes.start(planes.plan(site({TWO})), nothing)
planes.stop(keep_protection=True)
planes = DataPlanes(planes._choose, planes._makers)
planes.start(planes.plan(site(b=('userspace', 'vpn1', 3, {{}}))), nothing)
tell()""")
    assert "10.2.0.0" not in said["routes"] and len(said["routes"].splitlines()) == 4


def test_a_refused_reload_leaves_devices_and_routes_as_they_were() -> None:
    said = told(PRELUDE + f"""
planes.start(planes.plan(site({TWO})), nothing)
before = routes()
watch(2, 3)
shell("ip link add vpn9 type veth peer name other")
why = refused(site(a=('userspace', 'vpn2', 3, {{}}), b=('userspace', 'vpn9', 2, {{}})))
tell(before=before, why=why)""")
    assert "vpn9" in said["why"]
    assert (said["past"], said["now"], said["departures"]) == ([], ["into a tunnel"], [])
    assert (said["devices"], said["routes"]) == (["vpn0", "vpn1", "vpn9"], said["before"])


def test_two_devices_that_somebody_deleted_come_back() -> None:
    said = told(PRELUDE + f"""
planes.start(planes.plan(site({TWO})), nothing)
watch(2, 3)
shell("ip link delete vpn0; ip link delete vpn1")
planes.restore()
tell()""")
    assert (said["past"], said["now"], said["departures"]) == ([], ["into a tunnel"], [])
