# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Devices of route-based tunnels in the kernel: xfrm interfaces, or VTI where the kernel has none.

A VTI receives by the outer addresses alone, so there is one for each pair of them, and it follows its SA. What
policy-based tunnels receive from the same peer comes in by it, too, and then without a trace of its SA.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from ipaddress import IPv4Address

from ...vpn.selectors import Address
from ..device import Device
from ..interface import DataPlaneError, Departure
from ..links import KERNEL_ROUTES, Link, Links
from ..netlink import NetlinkError
from .binding import UNBOUND, Binding
from .states import daemon_reqid, kernel_reqid

XFRM, VTI = "xfrm", "vti"
WORDS = {XFRM: "xfrm interface", VTI: "VTI"}
#: A driver's name for each outer address family.
_DRIVERS = {XFRM: {4: "xfrm", 6: "xfrm"}, VTI: {4: "vti", 6: "vti6"}}

_UNSUPPORTED = {errno.EOPNOTSUPP, errno.EINVAL, errno.ENODEV, errno.ENOSYS, errno.EAFNOSUPPORT}

#: linux/if_link.h, linux/if_tunnel.h.
_IFLA_XFRM_IF_ID = 2
_IFLA_VTI_IKEY, _IFLA_VTI_OKEY, _IFLA_VTI_LOCAL, _IFLA_VTI_REMOTE = 2, 3, 4, 5

_TRIAL = "iketest1"
#: Reserved addresses (RFC 1112 §4): the unspecified ones are those of a device that the VTI module makes itself.
_NOWHERE = IPv4Address("240.0.0.1"), IPv4Address("240.0.0.2")


def try_to_make(kind: str) -> NetlinkError | None:
    """Why this kernel makes no device of that kind, or None. Raises DataPlaneError where it may not be asked."""
    links = Links(KERNEL_ROUTES)
    try:
        left = links.find(_TRIAL)
        if left is not None and is_ours(left):  # by a run that was killed while it tried
            links.delete(left)
        links.delete(links.create(_TRIAL, _DRIVERS[kind][4], _data(kind, kernel_reqid(0), *_NOWHERE)))
    except NetlinkError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        return error
    finally:
        links.close()
    return None


class KernelDevices:
    """Those of the kernel data plane. ``kind`` is XFRM or VTI, None where this kernel has neither."""

    def __init__(self, kind: str | None) -> None:
        """Raises DataPlaneError."""
        self._kind = kind
        self._links = Links(KERNEL_ROUTES)
        self._devices: dict[str, Device] = {}

    def close(self) -> None:
        self._links.close()

    def binding(self, name: str | None) -> Binding:
        """What binds SAs and policies to that device. Raises DataPlaneError where it is not there any more."""
        if name is None:
            return UNBOUND
        if name not in self._devices:
            raise DataPlaneError(f"the device {name} is not there any more")
        number = kernel_reqid(self._devices[name].number)
        return Binding(if_id=number) if self._kind == XFRM else Binding(mark=number)

    def block(self, devices: Iterable[Device]) -> None:
        self._links.block(devices)

    def provide(self, device: Device) -> None:
        if self._kind is None:
            raise DataPlaneError(f"tunnel {device.tunnel}: this kernel has neither xfrm interfaces nor VTI")
        driver, number = _DRIVERS[self._kind][device.local.version], kernel_reqid(device.number)
        standing = self._links.find(device.name)
        if standing is not None and not is_ours(standing):
            raise DataPlaneError(foreign(device.name, standing))
        if standing is not None and (standing.kind, _number(standing)) != (driver, number):
            self._links.delete(standing)
            standing = None
        if standing is None:
            self._delete_numbered(number)
            standing = self._create(device, driver)
        elif self._kind == VTI:
            self._links.change(standing, _data(self._kind, number, device.local, device.remote))
        if self._kind == VTI:
            self._links.exempt_from_policy(standing)
        self._devices[device.name] = device
        self._links.dress(device, standing.index)

    def withdraw(self, name: str) -> None:
        if self._devices.pop(name, None) is not None:
            standing = self._links.find(name)
            if standing is not None and is_ours(standing):
                self._links.delete(standing)
        self._links.forget(name)

    def withdraw_all(self) -> None:
        for name in list(self._devices):
            self.withdraw(name)

    def follow(self, name: str | None, local: Address, remote: Address) -> None:
        """The SAs of that device go between these outer addresses now: a VTI must, too."""
        device = self._devices.get(name) if name is not None and self._kind == VTI else None
        if device is not None and (device.local, device.remote) != (local, remote):
            self.provide(replace(device, local=local, remote=remote))

    def fit(self, name: str, mtu: int | None) -> int | None:
        """See `Links.fit`."""
        return self._links.fit(name, mtu)

    def fits(self, name: str) -> int | None:
        """See `Links.fits`."""
        return self._links.fits(name)

    def audit(self) -> Iterator[Departure]:
        return self._links.audit()

    def restore(self) -> None:
        self._links.look_again()
        for device in list(self._devices.values()):
            self.provide(device)

    def clear_leftovers(self) -> None:
        """Devices and routes of an earlier run that nobody wants again."""
        for standing in self._ours():
            if standing.name not in self._devices:
                self._links.delete(standing)
        self._links.clear_leftovers()

    def _create(self, device: Device, driver: str) -> Link:
        assert self._kind is not None
        data = _data(self._kind, kernel_reqid(device.number), device.local, device.remote)
        try:
            made = self._links.create(device.name, driver, data)
        except NetlinkError as error:
            if error.errno != errno.EEXIST or self._kind != VTI:
                raise
            raise DataPlaneError(
                f"tunnel {device.tunnel}: this kernel has VTI only, one for each pair of outer addresses, and there is "
                f"one between {device.local} and {device.remote}; dataplane: userspace may serve it") from None
        return made

    def _delete_numbered(self, number: int) -> None:
        """One of another name that had the number before."""
        for standing in self._ours():
            if _number(standing) == number:
                self._links.delete(standing)
                self._devices.pop(standing.name, None)
                self._links.undress(standing.name)

    def _ours(self) -> Iterator[Link]:
        yield from [standing for standing in self._links.listed() if is_ours(standing)]


def is_ours(standing: Link) -> bool:
    """Whether this is a device that we made, now or in an earlier run."""
    number = _number(standing)
    return number is not None and daemon_reqid(number) is not None


def foreign(name: str, standing: Link) -> str:
    """What is wrong with a device of another program's under a name that is declared."""
    return (f"the device {name} that is declared is there already, and is not ikeengine's"
            f"{f' ({standing.kind})' if standing.kind else ''}; delete it, or declare another name")


def _number(standing: Link) -> int | None:
    if standing.kind == "xfrm":
        value, order = standing.data.get(_IFLA_XFRM_IF_ID), "=I"
    elif standing.kind in ("vti", "vti6"):
        value, order = standing.data.get(_IFLA_VTI_IKEY), ">I"
    else:
        return None
    return int(struct.unpack(order, value)[0]) if value is not None and len(value) == 4 else None


def _data(kind: str, number: int, local: Address, remote: Address) -> Mapping[int, bytes]:
    if kind == XFRM:
        return {_IFLA_XFRM_IF_ID: struct.pack("=I", number)}
    key = struct.pack(">I", number)
    return {_IFLA_VTI_IKEY: key, _IFLA_VTI_OKEY: key, _IFLA_VTI_LOCAL: local.packed, _IFLA_VTI_REMOTE: remote.packed}
