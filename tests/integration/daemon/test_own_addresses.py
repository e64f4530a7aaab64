# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which addresses a host has, asked of a real kernel."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.testbed.network import Namespace

pytestmark = pytest.mark.hosts

ROOT = Path(__file__).parents[3]
ASK = ("import sys; from ipaddress import ip_address; from ikeengine.daemon.routes import has_address; "
       "print(*[has_address(ip_address(row)) for row in sys.argv[1:]])")
OWN, OTHER, NEIGHBOUR = ("192.0.2.1", "2001:db8::1"), ("203.0.113.1", "2001:db8:1::1"), ("192.0.2.66", "2001:db8::66")


@pytest.fixture
def host() -> Iterator[Namespace]:
    namespace = Namespace(f"own{os.getpid()}")
    namespace.create()
    try:
        namespace.ip("link add d0 type veth peer name d1", "link set d1 up", "link set d0 up",
                     "address add 192.0.2.1/24 dev d0", "address add 2001:db8::1/64 dev d0 nodad")
        yield namespace
    finally:
        namespace.delete()


@pytest.mark.parametrize("binds_anything", [False, True], ids=["as by default", "ip_nonlocal_bind"])
def test_a_host_has_its_own_addresses_and_no_other(host: Namespace, binds_anything: bool) -> None:
    for family in ("ipv4", "ipv6"):
        host.run(["sysctl", "-q", "-w", f"net.{family}.ip_nonlocal_bind={int(binds_anything)}"])
    told = subprocess.run([*host.entry, sys.executable, "-c", ASK, *OWN, *OTHER, *NEIGHBOUR, "127.0.0.1"],
                          env={**os.environ, "PYTHONPATH": str(ROOT / "files/ikeengine")}, capture_output=True,
                          text=True, check=True).stdout
    assert told.split() == ["True"] * 2 + ["False"] * 4 + ["True"]
