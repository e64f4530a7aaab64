# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What begins an ISAKMP SA at a responder: the first message of Main or Aggressive Mode, and what half-open ones cost.

IKEv1 cannot ask an initiator to show that it receives where it says it is, before there is state for it. So where too
much is half-open, in all or from one address, the oldest goes that has heard nothing more: who is there, answers within
a round trip. Main Mode's state costs little until then. Aggressive Mode's costs exponentiations at once, so there is
less of it, and each stays for a while, which limits how many a flood can ask for.
"""

from __future__ import annotations

from collections.abc import Callable

from ..crypto.errors import CryptoError
from ..ike.context import Context
from ..ike.half_open import HalfOpen
from ..ike.rate import AnswerRate
from ..ike.refusal import Refusal
from ..ike.session import IkeSession
from ..ike.state import NO_SPI
from ..security_association import Datagram
from ..vpn.model import IkeVersion, Mode
from ..wire import payload_rules
from ..wire.errors import WireError
from ..wire.header import Header
from ..wire.v1.constants import ExchangeType, HeaderFlag, NotifyType
from ..wire.v1.message import decode_clear_message, encode_message
from ..wire.v1.notify import Notify
from . import aggressive_mode, main_mode
from .notifications import notify_name
from .payload_rules import FIRST
from .received import Received
from .session import Ikev1Session
from .state import Step

_MODES: dict[int, Mode] = {ExchangeType.MAIN: Mode.MAIN, ExchangeType.AGGRESSIVE: Mode.AGGRESSIVE}

#: The initiator's first message is all that came.
_UNHEARD = (Step.MAIN_3, Step.AGGRESSIVE_3)


class Acceptor:
    """Takes datagrams of IKEv1 that belong to no session; ``adopt`` gets each ISAKMP SA that one of them begins."""

    def __init__(self, context: Context, adopt: Callable[[IkeSession], None]) -> None:
        self.half_open = {mode: HalfOpen() for mode in _MODES.values()}
        self._context = context
        self._adopt = adopt
        self._rate = AnswerRate(context.settings.unknown_spi_answers)

    def receive(self, header: Header, datagram: Datagram, now: float) -> None:
        """``header`` is the datagram's. Whatever its octets, nothing is raised."""
        context = self._context
        mode = _MODES.get(header.exchange)
        if mode is None or header.spi_r != NO_SPI or header.spi_i == NO_SPI:
            context.count("unknown_spi")
            self._answer_unknown(header, datagram, now)
            return
        known = self.half_open[mode].find(datagram.remote, header.spi_i)
        if known is not None:
            if not (isinstance(known, Ikev1Session) and known.repeat_answer(datagram, now)):
                context.count("unexpected_request")
            return
        if header.message_id != 0 or header.flags & HeaderFlag.ENCRYPTION:
            context.count("malformed")
        elif self._has_room(mode, datagram, now):
            self._begin(mode, datagram, now)

    def _answer_unknown(self, header: Header, datagram: Datagram, now: float) -> None:
        """Tell a peer that its ISAKMP SA is not known here (RFC 2408 §5.1). It has to ask by itself whether that is so,
        since anybody can say it."""
        context = self._context
        if (not header.flags & HeaderFlag.ENCRYPTION or NO_SPI in (header.spi_i, header.spi_r)
                or context.has_spi(header)
                or not self._rate.allows(context.whereabouts(datagram.remote.address), now)
                or not context.candidates(datagram.local.address, datagram.remote.address, IkeVersion.V1, 1)):
            return
        context.send(Datagram(datagram.local, datagram.remote, encode_message(
            cookie_i=header.spi_i, cookie_r=header.spi_r, exchange=ExchangeType.INFORMATIONAL,
            message_id=int.from_bytes(context.random(4), "big") or 1,
            payloads=[Notify(NotifyType.INVALID_COOKIE, spi=header.spi_i + header.spi_r)])))

    def _has_room(self, mode: Mode, datagram: Datagram, now: float) -> bool:
        settings, half_open, address = self._context.settings, self.half_open[mode], datagram.remote.address
        most = settings.half_open_in_all if mode is Mode.MAIN else settings.aggressive_half_open
        if half_open.number_from(address) >= settings.half_open_per_address:
            rivals = half_open.sessions_from(address)
        elif len(half_open) >= most:
            rivals = half_open.sessions()
        else:
            return True
        oldest = next((row for row in rivals if isinstance(row, Ikev1Session) and row.step in _UNHEARD), None)
        if oldest is None or (mode is Mode.AGGRESSIVE and now < oldest.created_at + settings.aggressive_patience):
            self._context.count("too_many_half_open")
            return False
        oldest.close("it makes room for others that begin", now)
        return True

    def _begin(self, mode: Mode, datagram: Datagram, now: float) -> None:
        context = self._context
        session = Ikev1Session(context, initiator=False, gateway=None, local=datagram.local, remote=datagram.remote,
                               now=now, mode=mode)
        try:
            received = Received(*decode_clear_message(datagram.data), datagram)
            payload_rules.check(FIRST[mode], received.in_clear)
            (main_mode if mode is Mode.MAIN else aggressive_mode).respond(session, received, now)
        except WireError:
            context.count("malformed")
        except CryptoError:
            context.count("not_authentic")
        except Refusal as refusal:
            context.count("refused")
            self._answer(session, datagram, refusal.notify)
            session.fail(refusal.reason, notify_name(refusal.notify))
        else:
            self.half_open[mode].add(session)
            self._adopt(session)

    def _answer(self, session: Ikev1Session, datagram: Datagram, notify: int) -> None:
        self._context.send(Datagram(datagram.local, datagram.remote, encode_message(
            cookie_i=session.spi_i, cookie_r=session.spi_r, exchange=ExchangeType.INFORMATIONAL,
            message_id=session.message_ids.fresh(), payloads=[Notify(notify)])))
