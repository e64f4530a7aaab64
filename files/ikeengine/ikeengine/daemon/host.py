# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What this host can do, and the data planes that it has."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Mapping
from ipaddress import ip_address

from ..dataplane import choice
from ..dataplane.capabilities import Capabilities
from ..dataplane.choice import Choice
from ..dataplane.interface import DataPlane
from ..dataplane.links import KERNEL_ROUTES, Links
from ..dataplane.netfilter import probe as netfilter
from ..dataplane.userspace import dataplane as userspace
from ..dataplane.xfrm import probe as xfrm
from ..dataplane.xfrm.dataplane import XfrmDataPlane
from ..dataplane.xfrm.devices import foreign, is_ours
from ..dataplane.xfrm.sockets import bypass_socket, disable_espinudp, enable_espinudp
from ..vpn.model import Tunnel
from ..vpn.selectors import Address
from .udp import IKE_PORT, UdpSockets


class Host:
    """Asks the host once what it can do. ``makers`` make a data plane each, by name."""

    def __init__(self, sockets: UdpSockets, loop: asyncio.AbstractEventLoop) -> None:
        filtering = netfilter.probe()
        self._kernel, self._userspace = (plane.with_netfilter(filtering.directions, filtering.missing)
                                         for plane in (xfrm.probe(), userspace.probe()))
        self._decapsulating: set[socket.socket] = set()
        makers: dict[str, tuple[bool, Callable[[], DataPlane]]] = {
            XfrmDataPlane.name: (self._kernel.available, lambda: XfrmDataPlane(
                loop.add_reader, loop.remove_reader, loop.call_later, filtering,
                extended_sequence_numbers=self._kernel.extended_sequence_numbers,
                device_kind=next(iter(self._kernel.devices), None))),
            userspace.UserspaceDataPlane.name: (
                self._userspace.available,
                lambda: userspace.UserspaceDataPlane(sockets.send_esp, loop.add_reader, loop.remove_reader,
                                                     loop.call_later, filtering)),
        }
        self.makers: Mapping[str, Callable[[], DataPlane]] = {
            name: maker for name, (available, maker) in makers.items() if available}
        for _family, _port, sock in sockets.sockets():
            with contextlib.suppress(OSError):  # a kernel without XFRM has no policies to pass by
                bypass_socket(sock)

    def choose(self, tunnel: Tunnel, kernel_has_port: bool | None) -> Choice:
        """Raises DataPlaneError where no plane can carry the tunnel."""
        return choice.choose(tunnel, self._kernel, self._userspace, kernel_has_port)

    @staticmethod
    def foreign(name: str) -> str | None:
        """What is wrong with a device's name where another program has it. Raises DataPlaneError."""
        links = Links(KERNEL_ROUTES)
        try:
            standing = links.find(name)
        finally:
            links.close()
        return foreign(name, standing) if standing is not None and not is_ours(standing) else None

    def abilities(self) -> dict[str, Capabilities]:
        return {XfrmDataPlane.name: self._kernel, userspace.UserspaceDataPlane.name: self._userspace}

    @staticmethod
    def source(remote: Address) -> Address | None:
        """The address of this host from which packets to ``remote`` leave; None where no route leads there."""
        with socket.socket(socket.AF_INET if remote.version == 4 else socket.AF_INET6, socket.SOCK_DGRAM) as trial:
            with contextlib.suppress(OSError):
                bypass_socket(trial)
            try:
                trial.connect((str(remote), IKE_PORT))  # which sends nothing
            except OSError:
                return None
            return ip_address(trial.getsockname()[0])

    def decapsulate(self, sock: socket.socket, wanted: bool) -> None:
        """Have the kernel take ESP in UDP from ``sock``, or leave it to us. Raises OSError."""
        if wanted and sock not in self._decapsulating:
            enable_espinudp(sock)
            self._decapsulating.add(sock)
        elif not wanted and sock in self._decapsulating:
            disable_espinudp(sock)
            self._decapsulating.discard(sock)
