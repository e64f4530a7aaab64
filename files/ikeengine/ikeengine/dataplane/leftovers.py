# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking away what a daemon left that runs no more, also where the data plane that put it there can be made no more:
without a TUN device, say."""

from __future__ import annotations

import errno
from collections.abc import Callable, Collection
from functools import partial

from .interface import DataPlaneError
from .links import KERNEL_ROUTES, USERSPACE_ROUTES, Links
from .netfilter.probe import Netfilter
from .netfilter.table import InnerTable, kernel_traffic
from .netlink import NetlinkError
from .userspace.guard import Guard
from .xfrm.dataplane import XfrmDataPlane

#: The kernel is built without that kind of netlink, so there is nothing of it either.
_NOT_THERE = errno.EPROTONOSUPPORT


KERNEL, USERSPACE = "kernel", "userspace"


def clear(planes: Collection[str] = (KERNEL, USERSPACE)) -> list[DataPlaneError]:
    """Take away states, policies, rules, routes, devices and tables of these data planes. Returns what went wrong; the
    rest is gone."""
    errors: list[DataPlaneError] = []
    steps: dict[str, tuple[Callable[[], None], ...]] = {
        KERNEL: (_of_the_kernel, partial(_routes, KERNEL_ROUTES), partial(_table, KERNEL)),
        USERSPACE: (_of_userspace, partial(_routes, USERSPACE_ROUTES), partial(_table, USERSPACE))}
    for step in (step for plane in planes for step in steps[plane]):
        try:
            step()
        except DataPlaneError as error:
            if not isinstance(error, NetlinkError) or error.errno != _NOT_THERE:
                errors.append(error)
    return errors


def _of_the_kernel() -> None:
    """States, policies that have a template, devices."""
    plane = XfrmDataPlane(_nothing, _nothing, _nothing, Netfilter(False, False, ()))
    plane.start(_nothing)
    plane.stop(keep_protection=False)


def _of_userspace() -> None:
    """Rules, their tables, policies that block; its devices went with it."""
    guard = Guard(0)
    try:
        guard.find_leftovers()
        guard.clear_leftovers()
    finally:
        guard.close()


def _routes(owner: int) -> None:
    """Those into devices, and those behind them."""
    links = Links(owner)
    try:
        links.clear_leftovers()
    finally:
        links.close()


def _table(plane: str) -> None:
    table = InnerTable(plane, kernel_traffic())
    try:
        table.remove()
    finally:
        table.close()


def _nothing(*_: object) -> None: ...
