# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The TUN device (Linux Documentation/networking/tuntap.rst)."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from collections.abc import Sequence
from contextlib import suppress

from ..interface import DataPlaneError

DEVICE = "/dev/net/tun"
_TUNSETIFF = 0x400454CA
_TUNSETIFINDEX = 0x400454DA
_IFF_TUN = 0x0001
_IFF_NO_PI = 0x1000
_IFF_VNET_HDR = 0x4000
_TUNGETFEATURES = 0x800454CF
_SIOCGIFFLAGS = 0x8913
_SIOCSIFFLAGS = 0x8914
_SIOCGIFMTU = 0x8921
_SIOCSIFMTU = 0x8922
_SIOCSIFTXQLEN = 0x8943
_IFF_UP = 0x1

#: Packets that may wait to be read, as many as before a network card: half of them, which a TUN device has by itself,
#: is less than what one TCP connection sends at once.
_QUEUE = 1000

#: struct virtio_net_hdr (linux/virtio_net.h): flags, gso_type, hdr_len, gso_size, csum_start, csum_offset.
_OFFLOAD_HEADER = struct.Struct("=BBHHHH")
_LARGEST_READ = 65535 + _OFFLOAD_HEADER.size  # octets: whatever MTU somebody gave the device
_NO_OFFLOAD = bytes(_OFFLOAD_HEADER.size)
_NEEDS_CHECKSUM = 1
_TCP_SEGMENTS = {20: 1, 40: 4}  # by size of the IP header: VIRTIO_NET_HDR_GSO_TCPV4, _TCPV6
_TCP_CHECKSUM = 16  # its place in the TCP header


_CLOSED = -1


class TunDevice:
    """A device that exists for as long as it is open. Reads and writes are whole IP packets and never block.

    ``offloads`` says whether it takes TCP segments joined.
    """

    def __init__(self, name: str, mtu: int) -> None:
        """Raises DataPlaneError, saying what the host lacks."""
        self.name, self.index, self.fd = name, 0, _CLOSED
        self.open(mtu)

    @property
    def is_open(self) -> bool:
        """Whether ``fd`` is the device's; nothing is read or written where not."""
        return self.fd != _CLOSED

    def open(self, mtu: int) -> None:
        """Make the device, also one that somebody has deleted, which then has its index again. Raises DataPlaneError,
        saying what the host lacks."""
        try:
            self.fd = os.open(DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except PermissionError as error:
            raise DataPlaneError(f"opening {DEVICE}: {error.strerror}; the daemon's user must be let open it: chmod "
                                 f"0666 {DEVICE}") from None
        except OSError as error:
            raise DataPlaneError(f"opening {DEVICE}: {error.strerror}; the host or container needs the TUN device"
                                 ) from None
        try:
            self.offloads = _has_offloads(self.fd)
            flags = _IFF_TUN | _IFF_NO_PI | (_IFF_VNET_HDR if self.offloads else 0)
            if self.index:
                fcntl.ioctl(self.fd, _TUNSETIFINDEX, struct.pack("I", self.index))
            fcntl.ioctl(self.fd, _TUNSETIFF, struct.pack("16sH22x", self.name.encode(), flags))
            self.set_mtu(mtu)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
                fcntl.ioctl(control, _SIOCSIFTXQLEN, struct.pack("16si20x", self.name.encode(), _QUEUE))
            self.set_up()
            self.index = socket.if_nametoindex(self.name)
        except OSError as error:
            self.close()
            raise DataPlaneError(f"creating the TUN device {self.name}: {error.strerror}; it needs CAP_NET_ADMIN, and "
                                 f"no other program may use {self.name}") from None
        self._before = _NO_OFFLOAD if self.offloads else b""

    @property
    def state(self) -> str:
        """``up``, ``down`` or ``gone``: others may take it down, and delete it."""
        try:
            gone = socket.if_nametoindex(self.name) != self.index
            return "gone" if gone else "up" if self._flags() & _IFF_UP else "down"
        except OSError:
            return "gone"

    def set_up(self) -> None:
        """Raises OSError."""
        request = struct.pack("16sH22x", self.name.encode(), self._flags() | _IFF_UP)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            fcntl.ioctl(control, _SIOCSIFFLAGS, request)

    def _flags(self) -> int:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            answer = fcntl.ioctl(control, _SIOCGIFFLAGS, struct.pack("16sH22x", self.name.encode(), 0))
        return int(struct.unpack_from("H", answer, 16)[0])

    @property
    def mtu(self) -> int | None:
        """Octets of the largest packet now, which others may change; None where it is gone."""
        with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            answer = fcntl.ioctl(control, _SIOCGIFMTU, struct.pack("16si20x", self.name.encode(), 0))
            return int(struct.unpack_from("i", answer, 16)[0])
        return None

    def set_mtu(self, mtu: int) -> None:
        """Octets of the largest packet. Raises OSError."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            fcntl.ioctl(control, _SIOCSIFMTU, struct.pack("16si20x", self.name.encode(), mtu))

    def read(self) -> bytes | None:
        """The next packet, or None where none waits. Raises OSError."""
        try:
            return os.read(self.fd, _LARGEST_READ)[len(self._before) :]
        except BlockingIOError:
            return None

    def write(self, packet: bytes) -> bool:
        """False where the kernel would not take it."""
        try:
            os.writev(self.fd, (self._before, packet))
        except OSError:
            return False
        return True

    def write_segments(self, header: bytes, payloads: Sequence[bytes], ip_size: int) -> bool:
        """TCP segments as one packet, where the device has offloads; False where the kernel would not take it.

        ``header`` has the length of all, and of the checksum the sum of the pseudo header only.
        """
        offload = _OFFLOAD_HEADER.pack(_NEEDS_CHECKSUM, _TCP_SEGMENTS[ip_size], len(header), len(payloads[0]), ip_size,
                                       _TCP_CHECKSUM)
        try:
            os.writev(self.fd, (offload, header, *payloads))
        except OSError:
            return False
        return True

    def close(self) -> None:
        """The device goes, and every route through it. Its number may be another file's at once."""
        fd, self.fd = self.fd, _CLOSED
        os.close(fd)


def _has_offloads(fd: int) -> bool:
    """Whether packets can have a header of what a network card would do for them (IFF_VNET_HDR). Raises OSError."""
    (features,) = struct.unpack("=I", fcntl.ioctl(fd, _TUNGETFEATURES, bytes(4)))
    return bool(features & _IFF_VNET_HDR)
