# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody takes away or changes of our tables of nf_tables and of our devices comes back, each time in a network
namespace of its own."""

from __future__ import annotations

import pytest

from tests.integration.dataplane.test_half_done import told

pytestmark = pytest.mark.hosts

TABLE = """
import errno
from ipaddress import IPv4Address
from ikeengine.dataplane import netlink
from ikeengine.dataplane.interface import Protection
from ikeengine.dataplane.netfilter import table as netfilter
from ikeengine.vpn.model import Direction, Protocol, Route
from ikeengine.vpn.selectors import Selector

later = []
netlink._EVENT_BUFFER = 4096  # little room, so that a firewall's own few rules fill it
def protection(number, direction=Direction.LOCAL_TO_REMOTE):
    route = Route(Selector.parse("10.1.0.0/24"), Selector.parse(f"10.2.{number}.0/24"), direction)
    return Protection("lan", route, number, Protocol.ESP, IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2"))

table = netfilter.InnerTable("userspace", netfilter.kernel_traffic())
table.watch(nothing, nothing, lambda _seconds, call: later.append(call))
def nft(text):
    subprocess.run(["nft", "-f", "-"], check=True, input=text, text=True)
def ours():
    return "table inet ikeengine-userspace" in shell("nft list tables")
def audit():
    return [[row.what, row.expected, row.found] for row in table.audit()]
"""
#: What an audit says of it, and how somebody brings that about.
CHANGES = {
    "chain directions": ("changed", "flush chain inet ikeengine-userspace directions"),
    "chain clamp_inbound": ("changed", "insert rule inet ikeengine-userspace clamp_inbound accept"),
    "chain forward": ("changed", "add chain inet ikeengine-userspace forward { policy drop; }"),
    "chain mine": ("there", "add chain inet ikeengine-userspace mine"),
    "map mss_ipv4": ("changed", "flush map inet ikeengine-userspace mss_ipv4"),
    "map device_mss_ipv6": ("changed", "add element inet ikeengine-userspace device_mss_ipv6 { mine : 99 }"),
    "": ("changed", "add table inet ikeengine-userspace { flags dormant; }"),
}


def test_a_ruleset_so_large_that_the_news_of_its_end_are_lost_is_noticed() -> None:
    overruns, back = told(TABLE + """
shell("nft add table inet firewall; nft add chain inet firewall c")
nft("add rule inet firewall c ip saddr 10.9.9.9 counter accept;" * 500)
table._look()
table.hold([protection(1)])
table._look()
shell("nft flush ruleset")
before = table._events.overruns
table._look()
print(json.dumps([table._events.overruns - before, ours()]))""")
    assert overruns and back


def test_a_table_that_the_kernel_will_not_have_now_comes_back_later() -> None:
    assert told(TABLE + """
seen = []
table.hold([protection(1)])
table._look()
transact = table._kernel.transact
def refuse(what, messages):
    if len(messages) > 1:
        raise netlink.NetlinkError(what, errno.EBUSY)
    return transact(what, messages)
table._kernel.transact = refuse
shell("nft flush ruleset")
table._look()
seen.append([ours(), len(later)])
later.pop()()
table._look()
seen.append([ours(), len(later)])
table._kernel.transact = transact
later.pop()()
seen.append([ours(), len(later)])
print(json.dumps(seen))""") == [[False, 1], [False, 1], [True, 0]]


def test_an_sa_and_a_reload_find_the_table_gone_or_changed_and_bring_it_back() -> None:
    assert told(TABLE + """
table.hold([protection(1)])
table.fit(5, 1400)
shell("nft flush ruleset")
table.fit(5, 1300)
seen = [ours(), audit()]
shell("nft flush ruleset")
table.hold([protection(1), protection(2)])
seen += [ours(), audit()]
nft("add element inet ikeengine-userspace mss_ipv4 { 0x09000000 : 99 }")  # 9, as nft shows it
table.fit(9, 1300)
print(json.dumps([*seen, audit()]))""") == [True, [], True, [], []]


@pytest.mark.parametrize("part", CHANGES)
def test_what_somebody_changes_there_is_told_and_mended(part: str) -> None:
    found, change = CHANGES[part]
    before, departed, after, rules = told(TABLE + f"""
table.hold([protection(1)])
table.fit(7, 1400)
table.fit("vpn0", 1422)
table.hold([protection(1), protection(2)])
rules, before = shell("nft list ruleset"), audit()
nft("{change}")
departed = audit()
table.restore()
print(json.dumps([before, departed, audit(), shell("nft list ruleset") == rules]))""")
    assert before == after == [] and rules
    whole = "nf_tables table ikeengine-userspace"
    expected = "not there" if found == "there" else "as the daemon wrote it"
    assert [f"{whole}, {part}" if part else whole, expected, found] in departed


def test_the_data_planes_tell_of_their_tables() -> None:
    assert told("""
def run(plane):
    mine = DataPlanes(lambda tunnel, _port: Choice(plane, "declared"), planes._makers)
    mine.start(mine.plan(side(lan=("auto", "10.1.0.0/24", "10.2.0.0/24"))), nothing)
    seen = [len(mine.audit())]
    shell(f"nft add rule inet ikeengine-{plane} output accept")
    seen += [row.what for row in mine.audit()]
    mine.restore()
    seen.append(len(mine.audit()))
    mine.stop(keep_protection=False)
    return seen
print(json.dumps([run("userspace"), run("kernel")]))""") == [
        [0, f"nf_tables table ikeengine-{plane}, chain output", 0] for plane in ("userspace", "kernel")]


def test_what_somebody_sets_of_our_devices_is_told_and_mended() -> None:
    before, told_of, after, mtus = told("""
planes.start(planes.plan(side(interface="vpn0", transit=("userspace", "10.1.0.0/24", "10.2.0.0/24"),
                              lan=("userspace", "10.3.0.0/24", "10.4.0.0/24"))), nothing)
def mtus():
    return [json.loads(shell(f"ip -json link show {name}"))[0]["mtu"] for name in ("ike0", "vpn0")]
def seen():
    return [[row.what, row.expected, row.found] for row in planes.audit()]
before, at_first = seen(), mtus()
shell("ip link set vpn0 mtu 9000; ip link set ike0 mtu 1300")
for version in (4, 6):
    open(f"/proc/sys/net/ipv{version}/conf/ike0/disable_policy", "w").write("0")
found = seen()
planes.restore()
print(json.dumps([before, found, seen(), [at_first, mtus()]]))""")
    assert before == after == [] and mtus[0] == mtus[1]
    ike0, vpn0 = mtus[0]
    assert sorted(told_of) == [
        ["device ike0", f"MTU {ike0}", "MTU 1300"],
        ["device ike0", "disable_policy 1 for IPv4", "disable_policy 0"],
        ["device ike0", "disable_policy 1 for IPv6", "disable_policy 0"], ["device vpn0", f"MTU {vpn0}", "MTU 9000"]]
