# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Quick crash detection (RFC 6290): each end gives the other a token that it can make again when it has lost all else.

A token comes from the gateway's key, which a restart reads again, so that nothing has to be kept in a file. It is bound
to the two SPIs, of which ours is 64 random bits, to our address and to both identifiers: another end that has the same
key cannot be asked for it, nor can ours at another address (RFC 6290 §5.2, §9). Who shares our pre-shared key could
make it, but may close the IKE SA anyway.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from ..negotiation import identities
from ..security_association import Datagram
from ..vpn.model import Credential, EndpointPair, IkeVersion, Secret
from ..vpn.selectors import Address
from ..wire.constants import ExchangeType, HeaderFlag, NotifyType
from ..wire.header import Header
from ..wire.message import Payload, encode_message, notify
from ..wire.notify import Notify
from ..wire.payloads import all_of
from .exchange import Task

if TYPE_CHECKING:
    from ..ike.context import Context
    from .session import Ikev2Session

_LABEL = b"tandem.vpn quick crash detection"
_SIZES = range(16, 129)  # octets of a token (RFC 6290 §4.1)
_MOST_SENT = 16
"""Tokens in one message: of so many gateways the peer may be one. Where it may be more, it asks by itself."""


@lru_cache(maxsize=4096)
def _secret(key: bytes) -> bytes:
    """What tokens come from: nothing that the key is good for otherwise can be made of it (RFC 5869 §2.2)."""
    return hmac.digest(_LABEL, key, hashlib.sha256)


def _token(key: bytes, pair: EndpointPair, local: Address, spi_i: bytes, spi_r: bytes) -> bytes:
    """32 octets."""
    octets = [spi_i, spi_r, local.packed]
    for end in (pair.local, pair.remote):
        kind, identity = identities.to_wire(end.identity)
        octets += [kind.to_bytes(1, "big"), len(identity).to_bytes(2, "big"), identity]
    return hmac.digest(_secret(key), b"".join(octets), hashlib.sha256)


def _secrets(credential: Credential) -> tuple[Secret, ...]:
    """What our token may have been made from: a pre-shared key, which may have been another of those that are accepted
    while it changes, or our private key."""
    return credential.accepted or ((credential.secret,) if credential.secret is not None else ())


def own(session: Ikev2Session, spis: tuple[bytes, bytes] | None = None) -> list[Payload]:
    """Our token for that IKE SA, or for its successor of those SPIs, to be sent under protection."""
    assert session.gateway is not None and session.pair is not None
    secret = session.gateway.credential.secret
    if secret is None:
        return []
    return [Notify(NotifyType.QUICK_CRASH_DETECTION, _token(
        secret.octets, session.pair, session.local.address, *(spis or (session.spi_i, session.spi_r))))]


def anew(session: Ikev2Session) -> list[Payload]:
    """Our token where it is another, since we are at another address than when we told it."""
    if session.token_of == session.local.address:
        return []
    session.token_of = session.local.address
    return own(session)


def keep(session: Ikev2Session, payloads: Sequence[Payload]) -> None:
    """The peer's token for that IKE SA, out of a message that is authentic."""
    row = notify(payloads, NotifyType.QUICK_CRASH_DETECTION)
    if row is not None and len(row.data) in _SIZES:
        session.crash_token = row.data


def is_proven(session: Ikev2Session, payloads: Sequence[Payload]) -> bool:
    """Whether a message without protection shows the token by which the peer says that it lost the IKE SA."""
    return bool(session.crash_token) and any(
        hmac.compare_digest(session.crash_token, row.data) for row in all_of(payloads, Notify)
        if row.notify_type == NotifyType.QUICK_CRASH_DETECTION)


def unknown(context: Context, header: Header, datagram: Datagram) -> bytes | None:
    """What answers a request of an IKE SA that we do not know (RFC 7296 §2.21.4), with our tokens for it (RFC 6290
    §4.5); None where nobody of that address is declared. The caller knows that no IKE SA of ours has either SPI."""
    gateways = context.candidates(datagram.local.address, datagram.remote.address, IkeVersion.V2, _MOST_SENT + 1)
    if not gateways:
        return None
    keys = [(secret.octets, pair) for gateway in gateways for secret in _secrets(gateway.credential)
            for pair in gateway.pairs_between(datagram.local.address, datagram.remote.address)]
    tokens = [Notify(NotifyType.QUICK_CRASH_DETECTION,
                     _token(key, pair, datagram.local.address, header.spi_i, header.spi_r))
              for key, pair in (keys if len(keys) <= _MOST_SENT else ())]
    flags = HeaderFlag.RESPONSE | (0 if header.is_initiator else HeaderFlag.INITIATOR)
    return encode_message(spi_i=header.spi_i, spi_r=header.spi_r, exchange=header.exchange, flags=flags,
                          message_id=header.message_id,
                          payloads=[Notify(NotifyType.INVALID_IKE_SPI), *tokens])


class TellToken(Task):
    """After a rekey that we began: our token for the new IKE SA, not all of whose SPIs were known before (RFC 6290
    §4.3)."""

    exchange = ExchangeType.INFORMATIONAL

    def request(self, session: Ikev2Session, now: float) -> list[Payload]:
        return own(session)

    def response(self, session: Ikev2Session, payloads: Sequence[Payload], now: float) -> None:
        """There is nothing left to do."""
