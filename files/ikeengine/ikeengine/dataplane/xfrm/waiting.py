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


def let_wait(wanted: bool) -> None:
    """Have packets wait, or be dropped again. Where /proc/sys may not be written the kernel does as it did."""
    with suppress(OSError):
        _LARVAL_DROP.write_text("0" if wanted else "1")
