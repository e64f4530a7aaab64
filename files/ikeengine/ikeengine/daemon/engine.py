# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Joins the sessions to the world: datagrams, the clock and the data planes."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..dataplane.interface import Acquire, DataPlaneError, DataPlaneEvent, Departure, Expired, Moved
from ..ike.events import (
    ChildInbound,
    ChildMoved,
    ChildOutbound,
    ChildRemoved,
    EndpointsChanged,
    Event,
    Failed,
    IkeClosed,
    IkeEstablished,
    IkeRekeyed,
    PathMoved,
)
from ..security_association import ChildSa, Datagram, SocketAddress
from .control import trail
from .key_export import KeyExport
from .log import Level, Log
from .planes import DataPlanes
from .udp import UdpSockets
from .udp_offload import set_receive_offload

if TYPE_CHECKING:
    from ..reload import ReloadResult
    from ..sa_manager import IkeSaManager
    from ..vpn.model import Side
    from ..vpn.selectors import Address

#: Sessions and gateways that get what is due before the sockets have their turn: each may cost a millisecond.
_DUE_AT_ONCE = 8
_SHUTDOWN_LIMIT = 1.0  # seconds that peers get to acknowledge our DELETE


class Engine:
    """Every input ends in ``pump``, which carries out all that the sessions ask for in answer to it.

    ``decapsulate`` has the kernel take ESP in UDP from a socket (RFC 3948), or leave it to the daemon.
    """

    def __init__(self, manager: IkeSaManager, planes: DataPlanes, sockets: UdpSockets,
                 decapsulate: Callable[[socket.socket, bool], None], log: Log,
                 key_export: KeyExport | None = None) -> None:
        self.manager = manager
        manager.on_bug = self.on_bug
        self.planes = planes
        self.sockets = sockets
        self.esp_of_unknown_spi = 0
        self._decapsulate = decapsulate
        self._log = log
        self._key_export = key_export
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._watchers: set[asyncio.Queue[Event]] = set()
        self._drops = 0
        self._last_dropped: SocketAddress | None = None

    def start(self, side: Side) -> None:
        """Protect every route, then begin what ``side`` asks for. Raises Unservable and DataPlaneError."""
        plan = self.planes.plan(side)
        lost = self.planes.start(plan, self._on_data_plane_event)
        self._set_ports()
        self.sockets.attach(self._loop, self)
        self.manager.greet(self.now(), lost)
        self.manager.start(self.now(), _DUE_AT_ONCE)
        self.pump()

    def reload(self, side: Side) -> ReloadResult:
        """Take ``side`` in force; what did not change goes on undisturbed.

        Raises Unservable and DataPlaneError, and then the old declaration stays in force.
        """
        plan = self.planes.plan(side)
        self.planes.protect(plan)
        before = self.planes.adopt(plan)
        try:
            self._set_ports()
        except OSError as refused:
            self._log.error("could not give the kernel a port, or take it back", reason=refused.strerror)
        result = self.manager.reload(side, self.now(), _DUE_AT_ONCE)
        self.pump()
        for error in self.planes.unprotect(before):
            self._log.error("could not take down a protection", reason=str(error))
        return result

    def audit(self) -> list[Departure]:
        """In what this host departs from what the daemon was told and has done. Raises DataPlaneError."""
        return self.planes.audit() + [
            Departure(f"tunnel {tunnel}" if tunnel else f"gateway {gateway}", "as it is declared", "taken down by hand")
            for gateway, tunnel in self.manager.taken_down()]

    def mend(self) -> list[Departure]:
        """Bring all of that back, and return what it was. An SA that is lost is rekeyed. Raises DataPlaneError."""
        found, now = self.audit(), self.now()
        if any(departure.found != "taken down by hand" for departure in found):
            self.planes.restore()
        for departure in found:
            if departure.spi_in is not None:
                self.manager.renew_child(departure.spi_in, now)
        for gateway, tunnel in self.manager.taken_down():
            self.manager.take_up(gateway, now, tunnel)
        self.pump()
        return found

    async def stop(self) -> None:
        """Close all SAs, telling the peers. The protections stay, so that nothing leaks while no daemon runs."""
        with self.watched() as events:
            self.manager.shutdown(self.now())
            self.pump()
            deadline = self.now() + _SHUTDOWN_LIMIT
            while not self.manager.is_idle:
                try:
                    await asyncio.wait_for(events.get(), deadline - self.now())
                except TimeoutError:
                    break
        if self._timer is not None:
            self._timer.cancel()
        self.sockets.detach(self._loop)
        for error in self.planes.stop(keep_protection=True):
            self._log.error("could not stop a data plane", reason=str(error))
        self.sockets.close()

    def now(self) -> float:
        """The sessions' clock: monotonic seconds."""
        return self._loop.time()

    @contextmanager
    def watched(self) -> Iterator[asyncio.Queue[Event]]:
        """A queue that gets every event while the context lasts."""
        queue: asyncio.Queue[Event] = asyncio.Queue()
        self._watchers.add(queue)
        try:
            yield queue
        finally:
            self._watchers.discard(queue)

    def pump(self) -> None:
        """Carry out what the sessions ask for: data planes before datagrams, so that SAs are there in time."""
        while events := self.manager.events():
            for event in events:
                self._carry_out(event)
                for watcher in self._watchers:
                    watcher.put_nowait(event)
        for datagram in self.manager.datagrams_to_send():
            refused = self.sockets.send_ike(datagram)
            if refused is not None:
                self.manager.unsent(datagram, refused.strerror or str(refused))
        due = self.manager.next_timer()
        if self._timer is not None:
            if due is not None and due >= self._timer.when():
                return  # it may come too early: then it is set anew
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._on_timer) if due is not None else None

    def receive_ike(self, datagram: Datagram) -> None:
        self.manager.receive(datagram, self.now())
        drops = sum(self.manager.counters.values())
        if drops != self._drops:
            self._drops = drops
            self._last_dropped = datagram.remote

    def receive_esp(self, packets: Sequence[bytes], local: SocketAddress, remote: SocketAddress, ecn: int) -> None:
        try:
            unknown = self.planes.receive(packets, local, remote, ecn)
        except Exception as error:
            self.on_bug(error)
            return
        for spi, number in unknown.items():
            self.esp_of_unknown_spi += number
            self.manager.receive_unknown(spi, local, remote, self.now())

    def batch_received(self) -> None:
        """Answer, and tell of one of those that were dropped: in a flood a line for each would cost more than they."""
        self.pump()
        remote, self._last_dropped = self._last_dropped, None
        if remote is not None:
            self._log.from_network(str(remote), "dropped an IKE datagram: see the counters of ikectl status")

    def path_changed(self, remote: Address) -> None:
        """Packets to that peer take another way."""
        self.manager.path_changed(remote, self.now())
        self.pump()

    def addresses_changed(self) -> None:
        """This host may have an address that it had not."""
        self.manager.addresses_changed(self.now())
        self.pump()

    def on_bug(self, error: Exception, gateway: str = "") -> None:
        """What nobody foresaw, told with where it happened, at a bounded rate: a peer may be able to provoke it."""
        self._log.from_network(f"gateway {gateway}" if gateway else "unknown",
                               "the daemon failed inside; please report it", kind=type(error).__name__,
                               trail=trail(error))

    def send_failed(self, remote: SocketAddress, error: OSError) -> None:
        self._log.from_network(str(remote), "could not send a datagram", reason=error.strerror)

    def _set_ports(self) -> None:
        """Give the kernel the NAT traversal ports of the address families that it carries tunnels of.

        Of the others we take ESP in batches, which the kernel's ESP would not know how to take.
        """
        for version, port, sock in self.sockets.sockets():
            if port == self.sockets.nat_traversal_port:
                kernel_has_it = self.planes.kernel_has_port(version)
                set_receive_offload(sock, not kernel_has_it)
                self._decapsulate(sock, kernel_has_it)

    def _on_timer(self) -> None:
        self._timer = None
        self.manager.handle_timer(self.now(), _DUE_AT_ONCE)
        self.pump()

    def _on_data_plane_event(self, event: DataPlaneEvent) -> None:
        match event:
            case Acquire(reqid):
                self.manager.acquire(reqid, self.now())
            case Expired(spi_in, hard):
                child = self.planes.child(spi_in)
                if child is None:
                    return
                self._log.info("an SA reached its limit of traffic", tunnel=child.tunnel, spi_in=f"{spi_in:08x}",
                               limit="hard" if hard else "soft")
                self.manager.expire(spi_in, self.now(), hard=hard)
            case Moved(spi_in, local, remote):
                self.manager.moved(spi_in, local, remote, self.now())
        self.pump()

    def _carry_out(self, event: Event) -> None:
        match event:
            case ChildInbound() | ChildOutbound() | ChildRemoved() | ChildMoved():
                try:
                    self.planes.act(event)
                except DataPlaneError as error:
                    self._give_up(event.child, str(error))
                except Exception as error:
                    self.on_bug(error, event.child.gateway)
                    self._give_up(event.child, "the daemon failed inside")
        if self._key_export is not None:
            self._export(event, self._key_export)
        self._tell(event)

    def _export(self, event: Event, to: KeyExport) -> None:
        try:
            to.take(event)
        except OSError as error:
            self._log.error("could not export keys", reason=error.strerror)

    def _give_up(self, child: ChildSa, reason: str) -> None:
        self._log.error("the data plane refused an SA", tunnel=child.tunnel, gateway=child.gateway, reason=reason)
        self.manager.fail_child(child.spi_in, reason, self.now())

    def _tell(self, event: Event) -> None:
        log = self._log
        if log.level < Level.NOTICE and not isinstance(event, Failed):
            return
        match event:
            case IkeEstablished():
                log.notice("gateway established", gateway=event.gateway, suite=event.suite, spi_i=event.spi_i.hex(),
                           spi_r=event.spi_r.hex(), role="initiator" if event.initiator else "responder")
            case IkeRekeyed():
                log.info("gateway rekeyed", gateway=event.gateway, spi_i=event.spi_i.hex(), spi_r=event.spi_r.hex())
            case IkeClosed():
                log.notice("gateway closed", gateway=event.gateway, reason=event.reason)
            case ChildOutbound(child, replaces):
                log.notice("tunnel route rekeyed" if replaces else "tunnel route up", tunnel=child.tunnel,
                           gateway=child.gateway, route=", ".join(str(row.negotiated) for row in child.routes),
                           esp=child.suite, dataplane=self.planes.name_of(child.tunnel), **_spis(child))
            case ChildRemoved(child, reason):
                log.info("SA removed", tunnel=child.tunnel, reason=reason, **_spis(child))
            case PathMoved(gateway, local, remote, number):
                log.notice("the peer's path moved", gateway=gateway, local=str(local), remote=str(remote), sas=number)
            case EndpointsChanged():
                log.notice(f"gateway failed {'back' if event.back else 'over'}", gateway=event.gateway,
                           before=str(event.before), after=str(event.after), reason=event.reason)
            case Failed():
                # Who is no gateway of ours is named by the reason: strangers share one peer's rate.
                log.from_network(f"gateway {event.gateway}" if event.gateway else "unknown", "negotiation failed",
                                 tunnel=event.tunnel, notify=event.notify, reason=str(event.reason))


def _spis(child: ChildSa) -> dict[str, str]:
    return {"spi_in": f"{child.spi_in:08x}", "spi_out": f"{child.spi_out:08x}"}
