# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What begins an IKE SA at a responder: IKE_SA_INIT, cookies (RFC 7296 §2.6) and what half-open IKE SAs may cost."""

from __future__ import annotations

from collections.abc import Callable

from ..ike.context import Context
from ..ike.half_open import HalfOpen
from ..ike.refusal import Refusal
from ..ike.session import IkeSession
from ..ike.state import NO_SPI
from ..security_association import Datagram
from ..wire.constants import ExchangeType, HeaderFlag, NotifyType
from ..wire.errors import UnsupportedCriticalPayload, WireError
from ..wire.header import Header
from ..wire.message import Message, decode_message, encode_message, notify
from ..wire.nonce import Nonce
from ..wire.notify import Notify
from . import ike_sa_init, payload_rules
from .cookies import Cookies
from .exchange import answer, notify_name, require
from .session import Ikev2Session


class Acceptor:
    """Takes datagrams that belong to no session; ``adopt`` gets each IKE SA that one of them begins."""

    def __init__(self, context: Context, adopt: Callable[[IkeSession], None]) -> None:
        self.half_open = HalfOpen()
        self._context = context
        self._adopt = adopt
        self._cookies = Cookies(context.random, context.settings.cookie_secret_lifetime)

    def receive(self, header: Header, datagram: Datagram, now: float) -> None:
        """``header`` is the datagram's. Whatever its octets, nothing is raised."""
        if header.exchange != ExchangeType.IKE_SA_INIT or header.is_response:
            self._context.count("unknown_spi")
            return
        try:
            message = decode_message(datagram.data)
        except UnsupportedCriticalPayload as error:
            self._context.count("unsupported_critical_payload")
            if header.spi_r == NO_SPI:
                row = Notify(NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD, bytes([error.payload_type]))
                self._answer(header, datagram, row)
        except WireError:
            self._context.count("malformed")
        else:
            self._receive_first(message, datagram, now)

    def answer_version(self, header: Header, datagram: Datagram) -> None:
        """Say which version we speak (RFC 7296 §2.5); to requests only, so that no two answer in a circle."""
        self._context.count("unsupported_version")
        if header.major > Ikev2Session.version.value and not header.is_response:
            self._answer(header, datagram, Notify(NotifyType.INVALID_MAJOR_VERSION), header.spi_r)

    def _receive_first(self, message: Message, datagram: Datagram, now: float) -> None:
        context, header = self._context, message.header
        if not header.is_initiator or header.spi_r != NO_SPI or header.spi_i == NO_SPI or header.message_id != 0:
            context.count("malformed")
            return
        known = self.half_open.find(datagram.remote, header.spi_i)
        if isinstance(known, Ikev2Session):
            if not known.repeat_init_answer(datagram):
                context.count("unexpected_request")
            return
        try:
            payload_rules.check(header.exchange, False, message.payloads)
            nonce = require(message.payloads, Nonce)
        except WireError:
            context.count("malformed")
            return
        if len(self.half_open) >= context.settings.cookie_threshold:
            cookie = notify(message.payloads, NotifyType.COOKIE)
            if cookie is None or not self._cookies.is_good(cookie.data, nonce.data, datagram.remote, header.spi_i):
                context.count("cookie_demanded")
                fresh = self._cookies.make(nonce.data, datagram.remote, header.spi_i, now)
                self._answer(header, datagram, Notify(NotifyType.COOKIE, fresh))
                return
        if self.half_open.number_from(datagram.remote.address) >= context.settings.half_open_per_address:
            context.count("too_many_half_open")
            return
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
            self.half_open.add(session)
            self._adopt(session)

    def _answer(self, header: Header, datagram: Datagram, row: Notify, spi_r: bytes = NO_SPI) -> None:
        data = encode_message(spi_i=header.spi_i, spi_r=spi_r, exchange=header.exchange, flags=HeaderFlag.RESPONSE,
                              message_id=header.message_id, payloads=[row])
        self._context.send(Datagram(datagram.local, datagram.remote, data))
