# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two cables to a strongSwan that answers on both: failover to the second, and back to the first without a gap."""

import re
import time

import pytest

from tests.interop.site import OURS, ROUTES, SUITES, THEIRS, Json, Site, configure, declaration, eventually
from tests.testbed.network import ip

pytestmark = pytest.mark.interop

SECOND = "198.51.100.1", "198.51.100.2"
PAIRS = (OURS, THEIRS), SECOND
SOON = {"dead_peer_detection": {"idle": "1s", "retries": 2}}
NOBODY = "02:00:00:00:00:99"
"""A hardware address that no card has."""


def second_cable(site: Site) -> None:
    ours, theirs = site.ours.namespace, site.theirs.namespace
    ip(f"link add wan1 netns {ours.name} type veth peer name wan1 netns {theirs.name}")
    for namespace, address in zip((ours, theirs), SECOND, strict=True):
        namespace.ip(f"address add {address}/24 dev wan1", "link set wan1 up")


def cut(site: Site) -> None:
    site.ours.namespace.ip(f"neigh replace {THEIRS} lladdr {NOBODY} dev wan nud permanent")
    site.theirs.namespace.ip(f"neigh replace {OURS} lladdr {NOBODY} dev wan nud permanent")


def mend(site: Site) -> None:
    site.ours.namespace.ip(f"neigh delete {THEIRS} dev wan")
    site.theirs.namespace.ip(f"neigh delete {OURS} dev wan")


def endpoints(*, mirrored: bool) -> list[Json]:
    """Each end is called the same on both: strongSwan takes our INITIAL_CONTACT for what it knows of these names."""
    ends = [[{"address": address, "identifier": {"type": "domain-name", "value": f"{name}.example"}}
             for address, name in zip(pair, ("ours", "swan"), strict=True)] for pair in PAIRS]
    return [{"local": pair[mirrored], "remote": pair[not mirrored]} for pair in ends]


def in_use(site: Site) -> list[str]:
    return [row["remote"].rpartition(":")[0] for row in site.ours.gateway["ike"]]


def test_we_fail_over_and_back_while_strongswan_answers(site: Site) -> None:
    second_cable(site)
    suite = SUITES["AES-GCM group 31"]
    configure(site.theirs, suite, endpoints=endpoints(mirrored=True))
    site.ours.start(declaration(suite, start="boot", endpoints=endpoints(mirrored=False), **SOON))
    site.carries()
    assert in_use(site) == [THEIRS]

    cut(site)
    began = time.monotonic()
    eventually(lambda: in_use(site) == [SECOND[1]] and all(route["sas"] for route in site.ours.routes), site.logs, 10)
    print(f"up again after {time.monotonic() - began:.2f} s")
    assert time.monotonic() - began < 4
    site.carries()

    mend(site)
    (local, remote), *_more = ROUTES
    ping = site.ping(site.ours.namespace, local.host, remote.host, 100_000, "-i", "0.02")
    try:
        eventually(lambda: in_use(site) == [THEIRS], site.logs, 60)
        time.sleep(3)
    finally:
        ping.send_signal(2)
    seen = {int(number) for number in re.findall(r"icmp_seq=(\d+) ttl=", ping.communicate(timeout=30)[0])}
    lost = set(range(1, max(seen))) - seen
    print(f"{len(lost)} of {max(seen)} packets lost on the way back")
    assert not lost
    site.carries()
