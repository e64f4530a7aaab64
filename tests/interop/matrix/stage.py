# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where cells are tried: two ends, a router between them that masks their private addresses, and the daemons."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

from tests.interop.matrix.axes import ENDS, KERNEL, Cell
from tests.interop.matrix.declared import PLACES, ROUTES
from tests.interop.matrix.ends import LARGEST_DATAGRAM, SETTINGS, End, Ours, StrongSwan
from tests.interop.site import Engine, cut
from tests.testbed import strongswan
from tests.testbed.network import Namespace, ip
from tests.testbed.strongswan import Charon

NUMBERS = count()
ROUTERS = {"near": "192.0.2.254", "far": "198.51.100.254"}
PRIVATE_ROUTERS = {"near": "10.99.1.1", "far": "10.99.2.1"}
# The ports change, so that a peer which answers to the usual ones is not heard. User-Mode Linux has the older NAT only.
MASQUERADE = "-t nat -A POSTROUTING -s 10.99.0.0/16 -p udp -j MASQUERADE --to-ports 20000-29999"


class Stage:
    """Both ends' daemons, started when a cell first needs them."""

    def __init__(self, namespaces: dict[str, Namespace], folder: Path, dataplane: str) -> None:
        kernel = strongswan.KERNEL if dataplane == KERNEL else strongswan.LIBIPSEC
        engines = {end: Engine(namespace, folder / end) for end, namespace in namespaces.items()}
        for engine in engines.values():
            engine.program = cut(LARGEST_DATAGRAM)
        charon = Charon(namespaces["far"], folder / "swan", kernel=kernel, detail=1, settings=SETTINGS)
        self.near = Ours(engines["near"])
        self._peers: dict[str, End] = {"ikeengine": Ours(engines["far"]), "strongSwan": StrongSwan(charon)}
        self._running: list[End] = []

    def ends(self, cell: Cell) -> tuple[Ours, End]:
        """The near and the far end of a cell, running."""
        peer = self._peers[cell.peer]
        for other in self._peers.values():
            if other is not peer and other in self._running:
                self._stop(other)
        for end in (self.near, peer):
            if end not in self._running:
                end.start()
                self._running.append(end)
        return self.near, peer

    def strike(self) -> None:
        """End every daemon."""
        for end in list(self._running):
            self._stop(end)

    def _stop(self, end: End) -> None:
        self._running.remove(end)
        end.kill()


@contextmanager
def stage(dataplane: str) -> Iterator[Stage]:
    number = next(NUMBERS)
    router, *ends = (Namespace(f"mx{os.getpid()}-{number}{name}") for name in ("router", *ENDS))
    namespaces = dict(zip(ENDS, ends, strict=True))
    # Not a test's own folder: a socket's path is at most 100 octets long.
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="matrix-")))
        for namespace in (router, *ends):
            stack.callback(namespace.delete)
            namespace.create()
        for end, namespace in namespaces.items():
            _connect(namespace, router, end)
        router.forward()
        router.run(["iptables-legacy", *MASQUERADE.split()])
        made = Stage(namespaces, folder, dataplane)
        stack.callback(made.strike)
        yield made


def _connect(namespace: Namespace, router: Namespace, end: str) -> None:
    """The router knows no inner network: what is not in the tunnel does not arrive."""
    place = PLACES[end]
    hosts = {lans[ENDS.index(end)].host for routes in ROUTES.values() for lans in routes}
    ip(f"link add wan netns {namespace.name} type veth peer name {end} netns {router.name}")
    router.ip(f"address add {ROUTERS[end]}/24 dev {end}", f"address add {PRIVATE_ROUTERS[end]}/24 dev {end}",
              f"link set {end} up")
    namespace.ip(f"address add {place.address}/24 dev wan", f"address add {place.private}/24 dev wan",
                 "link set wan up", *(f"address add {host} dev lo" for host in sorted(hosts)),
                 f"route add default via {ROUTERS[end]}", "route add ::/0 dev wan")
