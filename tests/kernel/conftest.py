# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every test of this folder runs inside User-Mode Linux, on a kernel with ESP: see `machines`."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.site import OURS, ROUTES, THEIRS, Engine, Site
from tests.kernel.machines import REPORTS, Machines, Reporter
from tests.testbed.network import Namespace, ip
from tests.testbed.strongswan import KERNEL, Charon

MACHINES = pytest.StashKey[Machines]()
PRIVATE, PRIVATE_ROUTER = "10.99.0.2", "10.99.0.1"
# The ports change, so that a peer which answers to the usual ones is not heard.
MASQUERADE = "-t nat -A POSTROUTING -s 10.99.0.0/24 -p udp -j MASQUERADE --to-ports 20000-29999"


def pytest_configure(config: pytest.Config) -> None:
    if REPORTS in os.environ:
        config.pluginmanager.register(Reporter(config))
    config.stash[MACHINES] = Machines(config)


def pytest_runtest_protocol(item: pytest.Item) -> bool | None:
    if REPORTS in os.environ or Path(__file__).parent not in item.path.parents:
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in item.config.stash[MACHINES].reports(item):
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


@pytest.fixture
def wire() -> Iterator[Namespace]:
    """What lies between the two ends: a bridge, whose port `theirs` leads to strongSwan."""
    with _Standing("wire") as namespace:
        namespace.ip("link add lan type bridge", "link set lan up")
        yield namespace


@pytest.fixture
def theirs(wire: Namespace) -> Iterator[Namespace]:
    with _Standing("theirs") as namespace:
        ip(f"link add wan netns {namespace.name} type veth peer name theirs netns {wire.name}")
        wire.ip("link set theirs master lan up")
        namespace.ip(f"address add {THEIRS}/24 dev wan", "link set wan up",
                     *(f"address add {remote.host} dev lo" for _local, remote in ROUTES))
        yield namespace


@pytest.fixture
def ours() -> Iterator[Namespace]:
    with _Standing("ours") as namespace:
        namespace.ip(*(f"address add {local.host} dev lo" for local, _remote in ROUTES))
        yield namespace


@pytest.fixture
def site(wire: Namespace, ours: Namespace, theirs: Namespace, tmp_path: Path) -> Iterator[Site]:
    """strongSwan with the kernel's ESP runs, ikeengine does not yet; the two are neighbours."""
    ip(f"link add wan netns {ours.name} type veth peer name ours netns {wire.name}")
    wire.ip("link set ours master lan up")
    ours.ip(f"address add {OURS}/24 dev wan", "link set wan up", f"route add default via {THEIRS}")
    yield from _peers(ours, theirs, tmp_path)


@pytest.fixture
def site_behind_nat(wire: Namespace, ours: Namespace, theirs: Namespace, tmp_path: Path) -> Iterator[Site]:
    """As `site`, but ikeengine has the address PRIVATE, and what is between them shows it to strongSwan as OURS."""
    ip(f"link add wan netns {ours.name} type veth peer name ours netns {wire.name}")
    wire.ip(f"address add {OURS}/24 dev lan", f"address add {PRIVATE_ROUTER}/24 dev ours", "link set ours up")
    ours.ip(f"address add {PRIVATE}/24 dev wan", "link set wan up", f"route add default via {PRIVATE_ROUTER}")
    wire.forward()
    # This kernel has the older NAT only.
    wire.run(["iptables-legacy", *MASQUERADE.split()])
    yield from _peers(ours, theirs, tmp_path)


def _peers(ours: Namespace, theirs: Namespace, folder: Path) -> Iterator[Site]:
    engine = Engine(ours, folder / "ikeengine")
    with Charon(theirs, folder / "charon", kernel=KERNEL, detail=1) as charon:
        try:
            yield (made := Site(engine, charon))
            print(made.logs())
        finally:
            engine.kill()


class _Standing(Namespace):
    """A namespace for as long as the context lasts."""

    def __enter__(self) -> Namespace:
        self.create()
        return self

    def __exit__(self, *_: object) -> None:
        self.delete()
