# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What notifications are called, and which report errors (RFC 2408 §3.14.1)."""

from __future__ import annotations

from collections.abc import Iterable

from ..wire.payloads import all_of
from ..wire.v1.constants import NotifyType
from ..wire.v1.message import Payload
from ..wire.v1.notify import Notify

_FIRST_STATUS_TYPE = 16384


def notify_name(notify: int) -> str:
    """As the RFCs write it; the number of those that we do not know."""
    try:
        return NotifyType(notify).name
    except ValueError:
        return f"notify {notify}"


def errors_in(payloads: Iterable[Payload]) -> tuple[Notify, ...]:
    """The notifications that report errors, known to us or not."""
    return tuple([row for row in all_of(payloads, Notify) if row.notify_type < _FIRST_STATUS_TYPE])
