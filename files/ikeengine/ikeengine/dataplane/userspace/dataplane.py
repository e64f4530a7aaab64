# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Userspace ESP behind the data plane's interface."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import groupby

from ...crypto.errors import UnsupportedAlgorithm
from ...security_association import ChildSa, Path, SocketAddress
from ...vpn.algorithms import AUTHENTICATIONS, ENCRYPTIONS, Use
from ...vpn.model import Protocol
from ...vpn.selectors import Address
from ..capabilities import Capabilities
from ..device import Device
from ..interface import Counters, DataPlaneError, DataPlaneEvent, Departure, Protection
from ..links import USERSPACE_ROUTES, Links
from ..mtu import PATH_MTU, inner_mtu, mtu_of, smallest_mtu
from ..netfilter.probe import Netfilter
from ..netfilter.table import device_traffic
from ..path_mtu import PathMtuWatch, path_mtu
from ..xfrm.devices import foreign, is_ours
from .guard import Guard
from .path import PacketPath, Pair, Send
from .receive_offload import Joining, Singly
from .spis import Spis
from .tun import TunDevice

_log = logging.getLogger(__name__)

DEVICE = "ike0"
DEVICE_KIND = "tun"

#: Packets read from the device per wake-up, so that IKE never starves behind bulk traffic.
BATCH = 64


def probe(device: str = "iketest0") -> Capabilities:
    """Try whether a TUN device can be had. Never raises."""
    missing = ["AH: packets travel in UDP, and only ESP does (RFC 3948)"]
    available = True
    try:
        TunDevice(device, PATH_MTU).close()
    except DataPlaneError as error:
        available, missing = False, [str(error)]
    return Capabilities(available, tuple(missing), frozenset({Protocol.ESP}),
                        frozenset(row for row in ENCRYPTIONS if Use.ESP in row.uses),
                        frozenset(row for row in AUTHENTICATIONS if Use.ESP in row.uses), True, True,
                        devices=(DEVICE_KIND,) if available else ())


@dataclass(frozen=True, slots=True)
class _Own:
    """A route-based tunnel's own TUN device, and the path of what goes through it: all of that, and nothing else."""

    device: Device
    tun: TunDevice
    path: PacketPath


class UserspaceDataPlane:
    """ESP in UDP between a TUN device and the daemon's NAT traversal socket. Needs CAP_NET_ADMIN."""

    name = "userspace"
    always_encapsulates = True
    extended_sequence_numbers = True
    device_kind: str | None = DEVICE_KIND

    def __init__(self, send: Send, add_reader: Callable[[int, Callable[[], None]], object],
                 remove_reader: Callable[[int], object], call_later: Callable[[float, Callable[[], None]], object],
                 netfilter: Netfilter, *, device: str = DEVICE, now: Callable[[], float] = time.monotonic) -> None:
        """The three after ``send`` are the event loop's.

        Raises DataPlaneError where there is no TUN device to be had.
        """
        self._add_reader, self._remove_reader, self._call_later = add_reader, remove_reader, call_later
        self._watch: PathMtuWatch | None = None
        self._mtu = 0
        self._tun = TunDevice(device, self._wanted_mtu)
        try:
            self._table = netfilter.table(self.name, device_traffic(self._tun.index))
            self._guard = Guard(self._tun.index)
            self._guard.exempt(device)
            self._links = Links(USERSPACE_ROUTES)
        except DataPlaneError:
            self._tun.close()
            raise
        self._on_event: Callable[[DataPlaneEvent], None] | None = None
        self._new_path: Callable[[TunDevice], PacketPath] = lambda tun: PacketPath(
            send, Joining(tun) if tun.offloads else Singly(tun.write), self._tell, now)
        self._path = self._new_path(self._tun)
        self._own: dict[str, _Own] = {}
        self._own_paths: dict[int, PacketPath] = {}  # by inbound SPI
        self._pairs: dict[int, Pair] = {}
        self._spis = Spis()
        self._protections: dict[int, Protection] = {}
        self._mtus: Counter[int] = Counter()  # how many SAs that send leave room for packets of that size
        self._narrow: dict[int, int | None] = {}  # by the number of a route: its MTU where it is less than the device's
        self._started = False

    @property
    def drops(self) -> Mapping[str, int]:
        """How many packets went no further, by reason."""
        drops = sum((own.path.drops for own in self._own.values()), self._path.drops)
        return drops if self._table is None else drops | Counter(self._table.drops())

    def start(self, on_event: Callable[[DataPlaneEvent], None]) -> Iterable[Path]:
        """SAs of an earlier run went with it."""
        self._on_event = on_event
        self._guard.find_leftovers()
        self._add_reader(self._tun.fd, partial(self._read_device, self._tun, self._path))
        if self._table is not None:
            self._table.watch(self._add_reader, self._remove_reader, self._call_later)
        self._watch = PathMtuWatch(self._add_reader, self._remove_reader, self._call_later, self._fit_all)
        self._started = True
        return ()

    def clear_leftovers(self) -> None:
        self._guard.clear_leftovers()
        self._links.clear_leftovers()
        if not self._protections:
            self._hold()

    def block(self, *devices: Device) -> None:
        self._links.block(devices)

    def provide(self, device: Device) -> None:
        known = self._own.get(device.name)
        if known is not None and known.device.number != device.number:
            self._close(self._own.pop(device.name))  # another tunnel's, whose SAs are not for what comes now
            known = None
        tun, path = (known.tun, known.path) if known is not None else self._open(device)
        self._own[device.name] = _Own(device, tun, path)
        self._links.dress(device, tun.index)
        if self._table is not None:
            self._table.fit(device.name, self._links.fits(device.name))

    def _open(self, device: Device) -> tuple[TunDevice, PacketPath]:
        standing = self._links.find(device.name)
        if standing is not None and not is_ours(standing):
            raise DataPlaneError(foreign(device.name, standing))
        if standing is not None:
            self._links.delete(standing)  # the kernel's of an earlier run
        tun = TunDevice(device.name, device.mtu)
        path = self._new_path(tun)
        for each in self._protections.values():
            if (each.tunnel, each.device) == (device.tunnel, device.name):
                path.add_route(each.reqid, each.route)
        self._add_reader(tun.fd, partial(self._read_device, tun, path))
        return tun, path

    def withdraw(self, device: Device) -> None:
        own = self._own.pop(device.name, None)
        if own is not None:
            self._close(own)
        self._links.forget(device.name)
        if self._table is not None:
            self._table.fit(device.name, None)

    def _close(self, own: _Own) -> None:
        """Nothing is written to the device any more: its number may soon be another file's."""
        for spi_in, path in list(self._own_paths.items()):
            if path is own.path:
                path.remove(self._pairs[spi_in])
                del self._own_paths[spi_in]
        self._close_device(own.tun)

    def _close_device(self, tun: TunDevice) -> None:
        if tun.is_open:
            self._remove_reader(tun.fd)
            tun.close()

    def _tell(self, event: DataPlaneEvent) -> None:
        if self._on_event is not None:
            self._on_event(event)

    def allocate_spi(self, local: Address, remote: Address, protocol: Protocol) -> int:
        if protocol is not Protocol.ESP:
            raise DataPlaneError(f"userspace carries ESP only, not {protocol.name}; dataplane: kernel may")
        return self._spis.give()

    def protect(self, *protections: Protection) -> None:
        known = {each.reqid: each for each in map(self._protections.get, (row.reqid for row in protections)) if each}
        paths = {each.reqid: self._path_in(each.device) for each in protections}
        self._protections |= {each.reqid: each for each in protections}
        self._hold()
        for protection in protections:
            before, path = known.get(protection.reqid), paths[protection.reqid]
            if before is None or (before.route, before.local_only, before.device) != (
                    protection.route, protection.local_only, protection.device):
                if protection.device is None:
                    self._guard.protect(protection)
                    self._fit_again(protection)
                path.add_route(protection.reqid, protection.route)
                if before is not None:
                    self._forget(before, path)

    def unprotect(self, *protections: Protection) -> None:
        errors: list[DataPlaneError] = []
        known = [self._protections.pop(each.reqid) for each in protections if each.reqid in self._protections]
        for protection in known:
            self._narrow.pop(protection.reqid, None)
            try:
                self._forget(protection, None)
            except DataPlaneError as error:
                errors.append(error)
        self._hold()
        if errors:
            raise errors[0]

    def _hold(self) -> None:
        """What nf_tables does is for the protections of this moment."""
        if self._table is not None:
            self._table.hold(self._protections.values())

    def _forget(self, protection: Protection, path_of_next: PacketPath | None) -> None:
        """``path_of_next`` is what has its reqid now."""
        if protection.device is None:
            self._guard.unprotect(protection)
        if protection.device is None or protection.device in self._own:
            path = self._path_in(protection.device)
            if path is not path_of_next:
                path.remove_route(protection.reqid)

    def _path_in(self, device: str | None) -> PacketPath:
        """Raises DataPlaneError where there is no such device any more."""
        if device is None:
            return self._path
        if device not in self._own:
            raise DataPlaneError(f"the device {device} is not there any more")
        return self._own[device].path

    def add_inbound(self, child: ChildSa) -> None:
        path, pair = self._path_in(child.interface), self._pair(child)
        path.add_inbound(pair)
        if child.interface is not None:
            self._own_paths[child.spi_in] = path

    def add_outbound(self, child: ChildSa) -> None:
        pair = self._pair(child)
        if child.interface is not None:
            self._path_in(child.interface).set_outbound(pair)
            self._fit_routes(pair)
            return
        for idle in self._path.set_outbound(pair):
            self._mtus[self._mtu_for(idle)] -= 1
        self._mtus[self._mtu_for(pair)] += 1
        self._fit_mtu()
        self._fit_routes(pair)

    def move(self, child: ChildSa) -> None:
        pair = self._pairs.get(child.spi_in)
        if pair is None:
            raise DataPlaneError(f"tunnel {child.tunnel}: SA {child.spi_in:08x} is not installed, so it cannot move")
        if not child.udp_encapsulated:
            raise DataPlaneError(f"tunnel {child.tunnel}: userspace carries ESP in UDP only")
        before = self._mtu_for(pair)
        pair.child = child
        pair.local = child.local
        pair.remote = pair.heard_from = child.remote
        if pair.outbound:
            if child.interface is None:
                self._mtus[before] -= 1
                self._mtus[self._mtu_for(pair)] += 1
                self._fit_mtu()
            self._fit_routes(pair)

    def remove(self, child: ChildSa) -> None:
        self._spis.free(child.spi_in)
        pair = self._pairs.pop(child.spi_in, None)
        if pair is not None:
            if pair.outbound and child.interface is None:
                self._mtus[self._mtu_for(pair)] -= 1
            self._own_paths.pop(child.spi_in, self._path).remove(pair)

    def counters(self, child: ChildSa) -> Counters:
        pair = self._pairs.get(child.spi_in)
        if pair is None:
            return Counters()
        return Counters(pair.packets_in, pair.octets_in, pair.packets_out, pair.octets_out)

    def packets_in(self, child: ChildSa) -> int:
        pair = self._pairs.get(child.spi_in)
        return pair.packets_in if pair is not None else 0

    def receive(self, packets: Sequence[bytes], local: SocketAddress, remote: SocketAddress, ecn: int) -> None:
        if not self._own_paths:
            self._path.inbound(packets, local, remote, ecn)
            return
        for spi, run in groupby(packets, lambda packet: int.from_bytes(packet[:4], "big")):
            self._own_paths.get(spi, self._path).inbound(list(run), local, remote, ecn)

    def audit(self) -> list[Departure]:
        state, mtu = self._tun.state, self._tun.mtu
        found = [] if state == "up" else [Departure(f"device {self._tun.name}", "up", state)]
        if mtu not in (None, self._wanted_mtu):
            found.append(Departure(f"device {self._tun.name}", f"MTU {self._wanted_mtu}", f"MTU {mtu}"))
        if self._table is not None:
            found += self._table.audit()
        return [*found, *self._guard.audit(self._guarded()), *self._links.audit()]

    def restore(self) -> None:
        if not self._reopen(self._tun, self._path, self._wanted_mtu):
            self._set_up()
        self._guard.exempt(self._tun.name)
        self._links.look_again()
        for own in self._own.values():
            self._reopen(own.tun, own.path, own.device.mtu)
            self._links.dress(own.device, own.tun.index)
        for protection in self._guarded():
            self._guard.put_up(protection)
            self._fit_again(protection)
        self._guard.clear_leftovers()
        self._links.clear_leftovers()
        if self._table is not None:
            self._table.restore()

    def _guarded(self) -> list[Protection]:
        """Those that the host's other traffic could meet."""
        return [protection for protection in self._protections.values() if protection.device is None]

    def _reopen(self, tun: TunDevice, path: PacketPath, mtu: int) -> bool:
        """Whether it was gone."""
        if tun.state != "gone":
            return False
        self._close_device(tun)
        tun.open(mtu)
        self._add_reader(tun.fd, partial(self._read_device, tun, path))
        return True

    @property
    def _wanted_mtu(self) -> int:
        return self._mtu or smallest_mtu(PATH_MTU)

    def _set_up(self) -> None:
        try:
            self._tun.set_mtu(self._wanted_mtu)
            self._tun.set_up()
        except OSError as error:
            raise DataPlaneError(f"setting {self._tun.name} up: {error.strerror}") from None

    def stop(self, keep_protection: bool) -> None:
        for pair in list(self._pairs.values()):
            self.remove(pair.child)
        if not keep_protection:
            self.unprotect(*self._protections.values())
            for own in list(self._own.values()):
                self.withdraw(own.device)
            self._guard.clear_leftovers()
            self._links.clear_leftovers()
        for own in self._own.values():
            self._close(own)
        if self._started:
            self._close_device(self._tun)
        if self._watch is not None:
            self._watch.close()
        self._links.close()
        self._guard.close()
        if self._table is not None:
            self._table.close()
        if self._tun.is_open:
            self._tun.close()

    def _pair(self, child: ChildSa) -> Pair:
        if child.spi_in not in self._pairs:
            if child.protocol is not Protocol.ESP or not child.udp_encapsulated:
                raise DataPlaneError(f"tunnel {child.tunnel}: userspace carries ESP in UDP only")
            try:
                self._pairs[child.spi_in] = Pair(child)
            except (UnsupportedAlgorithm, ValueError) as error:
                raise DataPlaneError(f"tunnel {child.tunnel}: userspace cannot do {child.suite}: {error}") from None
        return self._pairs[child.spi_in]

    def _mtu_for(self, pair: Pair) -> int:
        assert pair.child.encryption is not None
        return inner_mtu(PATH_MTU, pair.remote.address.version, pair.child.encryption, pair.child.authentication)

    def _fit_mtu(self) -> None:
        """The device's MTU is what the tightest of the SAs that send leaves room for."""
        mtu = min(mtu for mtu, sending in self._mtus.items() if sending)
        if mtu != self._mtu:
            self._tun.set_mtu(mtu)
            self._mtu = mtu
            if self._table is not None:
                self._table.fit(self._tun.index, mtu)

    def _fit_routes(self, pair: Pair, ask: Callable[[Address, Address], int | None] = path_mtu) -> None:
        """Where the path to the peer carries less than the device's MTU takes for granted, its routes say so."""
        measured = ask(pair.local.address, pair.remote.address) or PATH_MTU
        mtu = mtu_of(pair.child, measured) if measured < PATH_MTU else None
        if pair.child.interface is not None:
            fits = self._links.fit(pair.child.interface, mtu)
            if self._table is not None:
                self._table.fit(pair.child.interface, fits)
            return
        for reqid in pair.child.reqids:
            if reqid in self._protections and self._narrow.get(reqid) != mtu:
                self._guard.fit(self._protections[reqid], mtu)
                self._narrow[reqid] = mtu

    def _fit_again(self, protection: Protection) -> None:
        """Its routes have just been put up, and are as wide as the device."""
        if (mtu := self._narrow.get(protection.reqid)) is not None:
            self._guard.fit(protection, mtu)

    def _fit_all(self, remotes: Collection[Address] | None) -> None:
        """The paths to these addresses, or to any, may carry less than before: each is asked for once."""
        ask = cache(path_mtu)
        for pair in self._pairs.values():
            if pair.outbound and (remotes is None or pair.remote.address in remotes):
                try:
                    self._fit_routes(pair, ask)
                except DataPlaneError as error:  # somebody took the device away, which mending brings back
                    _log.warning("tunnel %s: its routes stay as wide as they are: %s", pair.child.tunnel, error)

    def _read_device(self, tun: TunDevice, path: PacketPath) -> None:
        outbound, read = path.outbound, tun.read
        try:
            for _packet in range(BATCH):
                packet = read()
                if packet is None:
                    break
                outbound(packet)
        except OSError as error:
            self._remove_reader(tun.fd)
            _log.error("the TUN device %s is gone (%s): no traffic passes until ikectl mend", tun.name,
                       error.strerror)
        path.flush_outbound()
