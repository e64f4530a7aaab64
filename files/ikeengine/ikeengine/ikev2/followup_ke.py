# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IKE_FOLLOWUP_KE: the additional key exchange of an SA that CREATE_CHILD_SA agreed on (RFC 9370 §2.2.4).

Neither end makes the SA before this has ended. So who began a rekey, and which of two that crossed stays, is settled
then, by the nonces of CREATE_CHILD_SA as ever.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..crypto.errors import InvalidKeyExchange
from ..crypto.key_encapsulation import DecapsulationKey, encapsulate
from ..ike.refusal import Refusal
from ..vpn.algorithms import KeyEncapsulation
from ..wire import key_exchange as wire
from ..wire.constants import NotifyType
from ..wire.message import Payload, notify
from ..wire.notify import Notify
from .exchange import additional_data

if TYPE_CHECKING:
    from .session import Ikev2Session

_LINK_SIZE = 8


class FollowUp:
    """What the task that began CREATE_CHILD_SA does next."""

    __slots__ = ("_key", "_link")

    def __init__(self, kem: KeyEncapsulation, answer: Sequence[Payload]) -> None:
        """``answer`` is that to CREATE_CHILD_SA. Raises Refusal where it names no link."""
        link = notify(answer, NotifyType.ADDITIONAL_KEY_EXCHANGE)
        if link is None:
            raise Refusal(NotifyType.NO_PROPOSAL_CHOSEN, f"the peer chose {kem.name}, and does not go on to it "
                          "(ADDITIONAL_KEY_EXCHANGE)")
        self._link = link
        self._key = DecapsulationKey(kem)

    def request(self) -> list[Payload]:
        return [wire.KeyExchange(self._key.kem.ikev2_id, self._key.public),
                Notify(NotifyType.ADDITIONAL_KEY_EXCHANGE, self._link.data)]

    def secret(self, payloads: Sequence[Payload]) -> bytes:
        """Raises Refusal, never fatal, where the answer cannot be used."""
        try:
            return self._key.shared_secret(additional_data(payloads, self._key.kem))
        except InvalidKeyExchange as error:
            raise Refusal(NotifyType.INVALID_SYNTAX, f"the peer's key exchange value is invalid: {error}") from None


@dataclass(slots=True)
class Awaited:
    """An SA that waits at its responder for the peer to go on. ``finish(secret, now)`` makes it, or raises Refusal."""

    kem: KeyEncapsulation
    link: bytes
    until: float
    finish: Callable[[bytes, float], None]


def await_it(session: Ikev2Session, kem: KeyEncapsulation, finish: Callable[[bytes, float], None],
             now: float) -> Payload:
    """Keep what was agreed on; the notification belongs into the answer. Only the last one is kept."""
    link = session.context.random(_LINK_SIZE)
    session.awaited = Awaited(kem, link, now + session.context.settings.half_open_timeout, finish)
    return Notify(NotifyType.ADDITIONAL_KEY_EXCHANGE, link)


def respond(session: Ikev2Session, payloads: Sequence[Payload], now: float) -> list[Payload]:
    link, awaited = notify(payloads, NotifyType.ADDITIONAL_KEY_EXCHANGE), session.awaited
    if awaited is None or link is None or link.data != awaited.link or now > awaited.until:
        raise Refusal(NotifyType.STATE_NOT_FOUND, "the peer goes on with a key exchange of which nothing is known here "
                      "any more")
    session.awaited = None
    ciphertext, secret = encapsulate(awaited.kem, additional_data(payloads, awaited.kem))
    awaited.finish(secret, now)
    return [wire.KeyExchange(awaited.kem.ikev2_id, ciphertext)]
