# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the host refuses half-way leaves nothing open, and nobody else's things touched: data planes of one process,
each time in a network namespace of its own."""

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.testbed import CHECKOUT

pytestmark = pytest.mark.hosts

PRELUDE = """\
import json, socket, subprocess
from ikeengine.daemon.planes import DataPlanes
from ikeengine.dataplane.choice import Choice
from ikeengine.dataplane.interface import DataPlaneError
from ikeengine.dataplane.netfilter.probe import probe
from ikeengine.dataplane.userspace.dataplane import UserspaceDataPlane
from ikeengine.dataplane.xfrm.dataplane import XfrmDataPlane
from ikeengine.vpn import declaration

def nothing(*_): ...

def shell(command):
    return subprocess.run(command, shell=True, check=True, capture_output=True, text=True).stdout

def side(remote="198.51.100.1", interface=None, **tunnels):
    rows = [{"name": name, "gateway": "b", "routes": [{"local": local, "remote": far}], "dataplane": plane}
            for name, (plane, local, far) in tunnels.items()]
    if interface:
        rows[0]["interface"] = {"name": interface}
    return declaration.read({"site": {"name": "hq"}, "tunnels": rows, "gateways": [
        {"name": "b", "credential": {"method": "psk", "psk": "correct horse battery staple"},
         "endpoints": [{"local": {"address": "192.0.2.1"}, "remote": {"address": remote}}]}]})

def userspace():
    return UserspaceDataPlane(nothing, nothing, nothing, nothing, probe())

planes = DataPlanes(lambda tunnel, _port: Choice(tunnel.dataplane.value, "declared"), {
    "kernel": lambda: XfrmDataPlane(nothing, nothing, nothing, probe()), "userspace": userspace})

def refused(new):
    try:
        planes.protect(planes.plan(new))
    except DataPlaneError as error:
        return str(error)
"""
LAN = '("{plane}", "10.1.0.0/24", "10.2.0.0/24")'
POLICIES = "ip -o xfrm policy | sort"
WAYS = "ip rule; ip route show table all type unreachable"


def told(script: str) -> Any:
    """What the script prints as JSON."""
    ended = subprocess.run(["unshare", "--net", sys.executable, "-c", PRELUDE + script], cwd=CHECKOUT, text=True,
                           env={"PYTHONPATH": "files/ikeengine", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
                           capture_output=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@pytest.mark.parametrize(("plane", "trouble"), [
    ("kernel", "ip link add ike0 type veth peer name other"), ("userspace", "ip link set ike0 down")])
def test_a_refused_reload_leaves_what_protects_the_tunnels_that_are_up(plane: str, trouble: str) -> None:
    said = told(f"""
planes.start(planes.plan(side(lan={LAN.format(plane=plane)})), nothing)
before = shell("{POLICIES}"), shell("{WAYS}")
shell("{trouble}")
why = refused(side("198.51.100.77", lan={LAN.format(plane=plane)}, more=("userspace", "10.5.0.0/24", "10.6.0.0/24"),
                   others=("userspace", "10.5.0.0/24", "10.8.0.0/24")))
after = shell("{POLICIES}"), shell("{WAYS}")
print(json.dumps([before, after, why]))""")
    before, after, why = said
    assert before == after and "10.2.0.0/24" in "".join(before)
    assert "ike0" in why or "Network is down" in why


def test_a_device_that_cannot_come_back_is_written_to_no_more() -> None:
    read, alive = told("""
plane = userspace()
plane.start(nothing)
shell("ip link delete ike0; ip link add ike0 type veth peer name other")
def mend():
    try:
        plane.restore()
    except DataPlaneError:
        pass
mend()
stranger, its_peer = socket.socketpair()
its_peer.setblocking(False)
plane._tun.write(b"E" + bytes(40))
try:
    read = its_peer.recv(100).hex()
except BlockingIOError:
    read = None
mend()
print(json.dumps([read, stranger.send(b"x")]))""")
    assert read is None
    assert alive == 1


def test_a_route_that_the_other_plane_left_is_taken_over() -> None:
    ways = told(f"""
shell("ip route add unreachable 10.2.0.0/24 metric 1 proto 207")
planes.start(planes.plan(side(interface="vpn0", lan={LAN.format(plane="userspace")})), nothing)
print(json.dumps(shell("ip route show type unreachable")))""")
    assert ways.split() == ["unreachable", "10.2.0.0/24", "proto", "206", "metric", "1"]


def test_what_others_set_of_waiting_packets_stays() -> None:
    values = told(f"""
setting, seen = "/proc/sys/net/core/xfrm_larval_drop", []
def look():
    seen.append(open(setting).read().strip())
def run(value, plane):
    open(setting, "w").write(value)
    mine = DataPlanes(lambda tunnel, _port: Choice(plane, "declared"), planes._makers)
    mine.start(mine.plan(side(lan={LAN.format(plane="auto")})), nothing)
    look()
    mine.stop(keep_protection=False)
    look()
run("0", "userspace"), run("1", "userspace"), run("0", "kernel"), run("1", "kernel")
print(json.dumps(seen))""")
    assert values == ["0", "0", "1", "1", "0", "0", "0", "1"]


LEFT = """
from pathlib import Path
from ikeengine.daemon import service
from ikeengine.daemon.declared import Options
from ikeengine.dataplane import leftovers
from ikeengine.dataplane.userspace import tun
planes.start(planes.plan(side(interface="vpn0", transit=("userspace", "10.1.0.0/24", "10.2.0.0/24"),
                              lan=("userspace", "10.3.0.0/24", "10.4.0.0/24"),
                              other=("kernel", "10.5.0.0/24", "10.6.0.0/24"))), nothing)
planes.stop(keep_protection=True)
shell("ip route add unreachable 10.9.0.0/24 metric 1 proto 207")
def left():
    return {what: shell(f"ip {what}; ip -6 {what}") for what in ("rule", "route show table all", "xfrm policy")} | {
        "tables": shell("nft list tables")}
before = left()
tun.DEVICE = "/dev/no/tun"
"""


def test_a_flush_takes_all_of_it_away_without_a_tun_device_and_where_a_rule_is_gone() -> None:
    before, after = told(LEFT + """
shell("ip rule delete priority 210")
nowhere = Path("/nonexistent")
service.flush(Options(nowhere, nowhere, nowhere, None))
print(json.dumps([before, left()]))""")
    for what, text in (("rule", "10.3.0.0/24"), ("route show table all", "unreachable 10.2.0.0/24"),
                       ("xfrm policy", "10.6.0.0/24"), ("tables", "ikeengine-kernel")):
        assert text in before[what]
    assert "10.3." not in after["rule"] and after["xfrm policy"] == after["tables"] == ""
    assert not any(what in after["route show table all"] for what in ("unreachable", "10.4."))


def test_what_one_data_plane_left_goes_without_the_others() -> None:
    before, after = told(LEFT + """
assert leftovers.clear(["userspace"]) == []
print(json.dumps([before, left()]))""")
    assert "10.3." not in after["rule"] and "unreachable 10.9.0.0/24" in after["route show table all"]
    assert not any(what in after["route show table all"] for what in ("10.2.", "10.4."))
    assert "10.6." in after["xfrm policy"] and "10.4." not in after["xfrm policy"]
    assert after["tables"] == "table inet ikeengine-kernel\n" and "ikeengine-userspace" in before["tables"]
