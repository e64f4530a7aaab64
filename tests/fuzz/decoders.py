# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The decoders of both versions: whatever the octets, a value or a WireError, and what is a value can be encoded."""

from __future__ import annotations

from contextlib import suppress

from ikeengine.wire import message as ikev2
from ikeengine.wire.errors import WireError
from ikeengine.wire.v1 import message as ikev1

from .feed import Feed

WHOLE, CHAIN = 0, 1


def decode_ikev2(data: bytes) -> None:
    """The first octet says whether a whole message follows, or a payload type and the octets of a chain."""
    feed = Feed(data)
    with suppress(WireError):
        if feed.octet() % 2 == WHOLE:
            payloads = ikev2.decode_message(feed.rest()).payloads
        else:
            payloads = ikev2.decode_payloads(feed.octet(), feed.rest())
        first_type, chain = ikev2.encode_payloads(payloads)
        assert len(ikev2.decode_payloads(first_type, chain)) == len(payloads)


def decode_ikev1(data: bytes) -> None:
    """As `decode_ikev2`."""
    feed = Feed(data)
    with suppress(WireError):
        if feed.octet() % 2 == WHOLE:
            _header, found = ikev1.decode_clear_message(feed.rest())
        else:
            found = ikev1.decode_chain(feed.octet(), feed.rest())
        if found is not None:
            first_type, chain = ikev1.encode_payloads(found.payloads)
            assert len(ikev1.decode_chain(first_type, chain).payloads) == len(found.payloads)
