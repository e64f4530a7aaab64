# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""BIRD at both ends of a route-based tunnel: each tells of a network of its own by OSPF, OSPFv3 and BGP."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from textwrap import dedent

from .bed import DEVICE, Bed, End

#: By which protocol which network is told, and the address of its owner in it.
TOLD = {"ospf4": ("10.5{}.0.0/24", "10.5{}.0.1"), "ospf6": ("fd00:5{}::/64", "fd00:5{}::1"),
        "bgp4": ("10.6{}.0.0/24", "10.6{}.0.1")}


def _configuration(end: End) -> str:
    own, other = end.number, end.other
    network = {protocol: row[0].format(own) for protocol, row in TOLD.items()}
    return dedent(f"""\
        router id 10.0.0.{own};
        protocol device {{ scan time 1; }}
        protocol kernel {{ ipv4 {{ export where source != RTS_STATIC; }}; metric 64; }}
        protocol kernel {{ ipv6 {{ export where source != RTS_STATIC; }}; metric 64; }}
        protocol static {{ ipv4; route {network["ospf4"]} blackhole; route {network["bgp4"]} blackhole; }}
        protocol static {{ ipv6; route {network["ospf6"]} blackhole; }}
        protocol ospf v2 ospf4 {{
            ipv4 {{ export where net = {network["ospf4"]}; }};
            area 0 {{ interface "{DEVICE}" {{ type ptp; hello 1; dead 5; }}; }};
        }}
        protocol ospf v3 ospf6 {{
            ipv6 {{ export where net = {network["ospf6"]}; }};
            area 0 {{ interface "{DEVICE}" {{ type ptp; hello 1; dead 5; }}; }};
        }}
        protocol bgp bgp4 {{
            local 169.254.7.{own} as 6500{own};
            neighbor 169.254.7.{other} as 6500{other};
            connect delay time 1;
            ipv4 {{ import all; export where net = {network["bgp4"]}; }};
        }}
        """)


@contextmanager
def _running(end: End) -> Iterator[None]:
    configuration = end.folder / "bird.conf"
    configuration.write_text(_configuration(end))
    for _network, address in TOLD.values():
        end.namespace.ip(f"address add {address.format(end.number)} dev lo")
    argv = [*end.namespace.entry, "bird", "-f", "-c", str(configuration), "-s", str(end.folder / "bird.sock")]
    with (end.folder / "bird.log").open("wb") as log, subprocess.Popen(argv, stdout=log, stderr=log) as bird:
        try:
            yield
        finally:
            bird.terminate()


def _learnt(end: End) -> bool:
    there = {(row["dst"], row.get("dev")) for family in ("-4", "-6")
             for row in end.json(family, "route", "show", "proto", "bird")}
    return {(network.format(end.other), DEVICE) for network, _address in TOLD.values()} <= there


def routing_daemons_learn_their_routes_over_it(bed: Bed) -> None:
    with ExitStack() as stack:
        for end in bed.ends:
            stack.enter_context(_running(end))
        for end in bed.ends:
            end.wait(lambda end=end: _learnt(end))  # type: ignore[misc]
        clear = stack.enter_context(bed.captured())
        for end in bed.ends:
            for _network, address in TOLD.values():
                assert end.ping(address.format(end.other)) == 3
    assert clear() == 0
