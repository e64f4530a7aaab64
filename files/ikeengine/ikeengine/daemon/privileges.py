# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Least privilege: an unprivileged user with three capabilities, no way to gain more, no core dump."""

from __future__ import annotations

import ctypes
import os
import pwd
import resource
import struct
from contextlib import suppress
from pathlib import Path

#: From linux/capability.h.
CAPABILITIES = {"CAP_NET_BIND_SERVICE": 10, "CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13}
_KEPT = sum(1 << number for number in CAPABILITIES.values())
_CAPABILITY_VERSION_3 = 0x20080522
_SETPCAP = 8
# From linux/prctl.h.
_PR_SET_DUMPABLE = 4
_PR_SET_KEEPCAPS = 8
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38


class PrivilegeError(Exception):
    """Privileges could not be dropped; the daemon must not go on."""


def keep_secrets_in_memory() -> None:
    """No core dump, no ptrace by others of the same user, no new privileges for whatever might be executed."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _prctl(_PR_SET_DUMPABLE, 0)


def own_directory(path: Path, user: str | None) -> None:
    """Make the runtime directory where there is none, for ``user`` to make its socket in. Raises PrivilegeError."""
    if path.is_dir():
        return  # made by the supervisor or an earlier run; another directory's owner is not ours to change
    try:
        path.mkdir(mode=0o755, parents=True)
        if user is not None:
            account = _account(user)
            os.chown(path, account.pw_uid, account.pw_gid)
    except OSError as error:
        raise PrivilegeError(f"cannot make {path} for the control socket: {error.strerror}; start as root, or name "
                             "another socket with --control") from None


def open_to_users(device: Path) -> None:
    """Let others than root open a device that still has the mode that the kernel made it with, since no udev runs here.

    For a TUN device: opening it grants nothing to whoever has no CAP_NET_ADMIN, so udev gives it this mode everywhere
    (Linux Documentation/networking/tuntap.rst). What somebody chose otherwise stays.
    """
    with suppress(OSError):  # no such device, or not ours to change: told where a tunnel needs it
        if device.stat().st_mode & 0o777 == 0o600:
            device.chmod(0o666)


def drop_to(user: str) -> None:
    """Become ``user`` with its own group only and with CAPABILITIES. Raises PrivilegeError."""
    account = _account(user)
    if os.geteuid() != 0:
        raise PrivilegeError(f"--user {user}: only root can change the user; leave the option out, or start as root")
    try:
        for number in range(_last_capability() + 1):
            if not _KEPT >> number & 1 and number != _SETPCAP:
                _prctl(_PR_CAPBSET_DROP, number)
        _prctl(_PR_CAPBSET_DROP, _SETPCAP)
        _prctl(_PR_SET_KEEPCAPS, 1)
        os.setgroups([account.pw_gid])
        os.setresgid(account.pw_gid, account.pw_gid, account.pw_gid)
        os.setresuid(account.pw_uid, account.pw_uid, account.pw_uid)
        _set_capabilities(_KEPT)
    except OSError as error:
        raise PrivilegeError(f"cannot become {user}: {error.strerror}") from None


def _account(user: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(user)
    except KeyError:
        raise PrivilegeError(f"--user {user}: there is no such user; create it with: "
                             f"useradd --system --no-create-home --shell /usr/sbin/nologin {user}") from None


def _last_capability() -> int:
    with open("/proc/sys/kernel/cap_last_cap", encoding="ascii") as file:
        return int(file.read())


def _set_capabilities(mask: int) -> None:
    """capset(2): effective and permitted are ``mask``, inheritable nothing."""
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    low, high = mask & 0xFFFFFFFF, mask >> 32
    data = struct.pack("=6I", low, low, 0, high, high, 0)
    _checked(_libc().capset(header, data))


def _prctl(option: int, argument: int) -> None:
    unsigned = ctypes.c_ulong
    _checked(_libc().prctl(option, unsigned(argument), unsigned(0), unsigned(0), unsigned(0)))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
