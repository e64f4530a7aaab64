# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packets of a route that has no SA yet: whether the kernel drops them, as it does by itself, or has them wait.

A policy keeps up to a hundred packets for a minute, and looks after a tenth of a second, and then ever more seldom,
whether there is an SA to send them on (xfrm_policy_queue_process in net/xfrm/xfrm_policy.c). The setting is one for the
whole network namespace.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

_LARVAL_DROP = Path("/proc/sys/net/core/xfrm_larval_drop")


class Waiting:
    """The setting, which is another's where it was not we who changed it. Where /proc/sys may not be written the kernel
    does as it did."""

    def __init__(self) -> None:
        self._changed = False

    def allow(self) -> None:
        """Have packets wait."""
        with suppress(OSError):
            if _LARVAL_DROP.read_text().strip() != "0":
                _LARVAL_DROP.write_text("0")
                self._changed = True

    def adopt(self) -> None:
        """An earlier run had policies, and so its packets waited."""
        self._changed = True

    def end(self) -> None:
        """Have them dropped again, if they were before."""
        if self._changed:
            with suppress(OSError):
                _LARVAL_DROP.write_text("1")
            self._changed = False
