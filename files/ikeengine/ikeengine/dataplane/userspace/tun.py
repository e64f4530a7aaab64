# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The TUN device (Linux Documentation/networking/tuntap.rst)."""

from __future__ import annotations

import fcntl
import os
import socket
import struct

from ..interface import DataPlaneError

DEVICE = "/dev/net/tun"
_TUNSETIFF = 0x400454CA
_IFF_TUN = 0x0001
_IFF_NO_PI = 0x1000
_SIOCGIFFLAGS = 0x8913
_SIOCSIFFLAGS = 0x8914
_SIOCSIFMTU = 0x8922
_IFF_UP = 0x1


class TunDevice:
    """A device that exists for as long as it is open. Reads and writes are whole IP packets and never block."""

    def __init__(self, name: str, mtu: int) -> None:
        """Raises DataPlaneError, saying what the host lacks."""
        try:
            self.fd = os.open(DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except PermissionError as error:
            raise DataPlaneError(f"opening {DEVICE}: {error.strerror}; the daemon's user must be let open it: chmod "
                                 f"0666 {DEVICE}") from None
        except OSError as error:
            raise DataPlaneError(f"opening {DEVICE}: {error.strerror}; the host or container needs the TUN device"
                                 ) from None
        try:
            fcntl.ioctl(self.fd, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI))
            self.name = name
            self.set_mtu(mtu)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
                request = struct.pack("16sH22x", name.encode(), 0)
                (flags,) = struct.unpack_from("H", fcntl.ioctl(control, _SIOCGIFFLAGS, request), 16)
                fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH22x", name.encode(), flags | _IFF_UP))
            self.index = socket.if_nametoindex(name)
        except OSError as error:
            os.close(self.fd)
            raise DataPlaneError(f"creating the TUN device {name}: {error.strerror}; it needs CAP_NET_ADMIN, and no "
                                 f"other program may use {name}") from None
        self._buffer = bytearray(1 << 16)

    def set_mtu(self, mtu: int) -> None:
        """Octets of the largest packet. Raises OSError."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            fcntl.ioctl(control, _SIOCSIFMTU, struct.pack("16si20x", self.name.encode(), mtu))

    def read(self) -> bytes | None:
        """The next packet, or None where none waits. Raises OSError."""
        try:
            size = os.readv(self.fd, (self._buffer,))
        except BlockingIOError:
            return None
        return bytes(memoryview(self._buffer)[:size])

    def write(self, packet: bytes) -> bool:
        """False where the kernel would not take it."""
        try:
            os.write(self.fd, packet)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """The device goes, and every route through it."""
        os.close(self.fd)
