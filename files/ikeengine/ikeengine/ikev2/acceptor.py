# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What begins an IKE SA at a responder: IKE_SA_INIT, cookies (RFC 7296 §2.6) and what half-open IKE SAs may cost."""

from __future__ import annotations

from collections.abc import Callable

from ..ike.context import Context
from ..ike.half_open import HalfOpen
from ..ike.rate import AnswerRate
from ..ike.refusal import Refusal
from ..ike.session import IkeSession
from ..ike.state import NO_SPI
from ..security_association import Datagram
from ..wire.constants import ExchangeType, HeaderFlag, NotifyType, PayloadType
from ..wire.errors import UnsupportedCriticalPayload, WireError
from ..wire.header import Header
from ..wire.message import Message, decode_message, encode_message, find_body
from ..wire.notify import Notify
from . import crash_detection, ike_sa_init, payload_rules
from .cookies import Cookies
from .exchange import answer, notify_name
from .session import Ikev2Session

_PROTECTED = (PayloadType.ENCRYPTED, PayloadType.ENCRYPTED_FRAGMENT)
_LARGEST = 8192
"""Octets of a first message, of which RFC 7296 §2 asks for 3000: it is kept until its sender is authenticated."""


class Acceptor:
    """Takes datagrams that belong to no session; ``adopt`` gets each IKE SA that one of them begins."""

    def __init__(self, context: Context, adopt: Callable[[IkeSession], None]) -> None:
        self.half_open = HalfOpen()
        self._context = context
        self._adopt = adopt
        self._cookies = Cookies(context.random, context.settings.cookie_secret_lifetime)
        self._rate = AnswerRate(context.settings.unknown_spi_answers)

    def receive(self, header: Header, datagram: Datagram, now: float) -> None:
        """``header`` is the datagram's. Whatever its octets, nothing is raised."""
        context = self._context
        if header.exchange != ExchangeType.IKE_SA_INIT or header.is_response:
            context.count("unknown_spi")
            self._answer_unknown(header, datagram, now)
        elif not header.is_initiator or header.spi_r != NO_SPI or header.spi_i == NO_SPI or header.message_id != 0:
            context.count("malformed")
        elif len(datagram.data) > _LARGEST:
            context.count("oversized_message")
        elif (known := self.half_open.find(datagram.remote, header.spi_i)) is not None:
            if not (isinstance(known, Ikev2Session) and known.repeat_init_answer(datagram)):
                context.count("unexpected_request")
        elif len(self.half_open) < context.settings.cookie_threshold or self._shows_cookie(header, datagram, now):
            self._receive_first(header, datagram, now)

    def _answer_unknown(self, header: Header, datagram: Datagram, now: float) -> None:
        """Tell a peer that its IKE SA is not known here, by our tokens if it can be one of ours (RFC 7296 §2.21.4, RFC
        6290 §4.5). Nobody hears it of an IKE SA that we have, whatever else is wrong with the message (§9.2)."""
        if (header.is_response or header.next_payload not in _PROTECTED or NO_SPI in (header.spi_i, header.spi_r)
                or self._context.has_spi(header)
                or not self._rate.allows(self._context.whereabouts(datagram.remote.address), now)):
            return
        answer = crash_detection.unknown(self._context, header, datagram)
        if answer is not None:
            self._context.send(Datagram(datagram.local, datagram.remote, answer))

    def _shows_cookie(self, header: Header, datagram: Datagram, now: float) -> bool:
        """Where not, one is asked for, which costs as little as may be: in a flood it is all that is done."""
        nonce = find_body(datagram.data, PayloadType.NONCE)
        if nonce is None:
            self._context.count("malformed")
            return False
        if header.next_payload == PayloadType.NOTIFY and self._cookies.is_good(_cookie(datagram.data), nonce,
                                                                               datagram.remote, header.spi_i):
            return True
        self._context.count("cookie_demanded")
        fresh = self._cookies.make(nonce, datagram.remote, header.spi_i, now)
        self._answer(header, datagram, Notify(NotifyType.COOKIE, fresh))
        return False

    def answer_version(self, header: Header, datagram: Datagram) -> None:
        """Say which version we speak (RFC 7296 §2.5); to requests only, so that no two answer in a circle."""
        self._context.count("unsupported_version")
        if header.major > Ikev2Session.version.value and not header.is_response:
            self._answer(header, datagram, Notify(NotifyType.INVALID_MAJOR_VERSION), header.spi_r)

    def _receive_first(self, header: Header, datagram: Datagram, now: float) -> None:
        context = self._context
        try:
            message = decode_message(datagram.data)
            payload_rules.check(header.exchange, False, message.payloads)
        except UnsupportedCriticalPayload as error:
            context.count("unsupported_critical_payload")
            row = Notify(NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD, bytes([error.payload_type]))
            self._answer(header, datagram, row)
        except WireError:
            context.count("malformed")
        else:
            if self.half_open.number_from(datagram.remote.address) >= context.settings.half_open_per_address:
                context.count("too_many_half_open")
            else:
                self._begin(message, datagram, now)

    def _begin(self, message: Message, datagram: Datagram, now: float) -> None:
        context = self._context
        session = Ikev2Session(context, initiator=False, gateway=None, local=datagram.local, remote=datagram.remote,
                               now=now)
        try:
            ike_sa_init.respond(session, message, datagram, now)
        except WireError:
            context.count("malformed")
        except Refusal as refusal:
            self._answer(message.header, datagram, answer(refusal))
            context.count("refused")
            if refusal.reason:
                session.fail(refusal.reason, notify_name(refusal.notify))
        else:
            if len(self.half_open) >= context.settings.half_open_at_once:
                next(iter(self.half_open.sessions())).close("it makes room for others that begin", now)
            self.half_open.add(session)
            self._adopt(session)

    def _answer(self, header: Header, datagram: Datagram, row: Notify, spi_r: bytes = NO_SPI) -> None:
        data = encode_message(spi_i=header.spi_i, spi_r=spi_r, exchange=header.exchange, flags=HeaderFlag.RESPONSE,
                              message_id=header.message_id, payloads=[row])
        self._context.send(Datagram(datagram.local, datagram.remote, data))


def _cookie(data: bytes) -> bytes:
    """The one in a message whose first payload is a notification, where it has to stand (RFC 7296 §2.6); empty where
    that is another."""
    try:
        row = Notify.decode_body(find_body(data, PayloadType.NOTIFY) or b"")
    except WireError:
        return b""
    return row.data if row.notify_type == NotifyType.COOKIE else b""
