# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a session cannot grant: the peer hears a notification, the operator a sentence."""

from __future__ import annotations

from ..negotiation.reasons import Reason


class Refusal(Exception):
    """``notify`` goes to the peer, with ``data``, ``protocol`` and ``spi``; ``reason`` only to the operator, who hears
    nothing where it is empty. ``tunnel`` is the one that it is about, where that is known.

    ``fatal`` closes the IKE SA after the answer (RFC 7296 §2.21.3).
    """

    def __init__(self, notify: int, reason: Reason | str, data: bytes = b"", *, protocol: int = 0, spi: bytes = b"",
                 fatal: bool = False, tunnel: str | None = None) -> None:
        super().__init__(str(reason))
        self.notify = notify
        self.reason = reason
        self.tunnel = tunnel
        self.data = data
        self.protocol = protocol
        self.spi = spi
        self.fatal = fatal
