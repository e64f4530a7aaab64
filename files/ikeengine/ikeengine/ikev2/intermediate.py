# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IKE_INTERMEDIATE (RFC 9242) with the additional key exchange that IKE_SA_INIT agreed on (RFC 9370 §2.2.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..crypto.authentication import IntAuth
from ..crypto.key_derivation import rekeyed_skeyseed
from ..crypto.key_encapsulation import DecapsulationKey, encapsulate
from ..ike.refusal import Refusal
from ..vpn.algorithms import KeyEncapsulation
from ..wire import key_exchange as wire
from ..wire.constants import ExchangeType, NotifyType
from ..wire.message import Payload
from .exchange import Task, additional_data, error_in, notify_name
from .ike_auth import IkeAuth
from .protection import Protection

if TYPE_CHECKING:
    from .session import Ikev2Session


class Additional:
    """The additional key exchange of a first IKE SA, from IKE_SA_INIT to IKE_AUTH."""

    __slots__ = ("int_auth", "is_done", "kem")

    def __init__(self, kem: KeyEncapsulation, int_auth: IntAuth) -> None:
        self.kem = kem
        self.int_auth = int_auth
        self.is_done = False


class IkeIntermediate(Task):
    """The initiator's side; IKE_AUTH follows."""

    exchange = ExchangeType.IKE_INTERMEDIATE

    def __init__(self, kem: KeyEncapsulation) -> None:
        self._key = DecapsulationKey(kem)

    def request(self, session: Ikev2Session, now: float) -> list[Payload]:
        return [wire.KeyExchange(self._key.kem.ikev2_id, self._key.public)]

    def response(self, session: Ikev2Session, payloads: Sequence[Payload], now: float) -> None:
        error = error_in(payloads)
        if error is not None:
            raise Refusal(error, f"the peer {session.remote} answered {notify_name(error)} to IKE_INTERMEDIATE")
        assert session.additional is not None
        secret = self._key.shared_secret(additional_data(payloads, self._key.kem))
        session.additional.is_done = True
        session.protection = _renewed(session, secret)
        session.requests.add_first(IkeAuth(), now)


def respond(session: Ikev2Session, payloads: Sequence[Payload], now: float) -> list[Payload]:
    """The responder's side. The answer goes out under the keys that the request came under; then the new ones hold."""
    additional = session.additional
    if additional is None or additional.is_done:
        raise Refusal(NotifyType.INVALID_SYNTAX, f"the peer {session.remote} sent an IKE_INTERMEDIATE that was not "
                      "agreed on", fatal=True)
    ciphertext, secret = encapsulate(additional.kem, additional_data(payloads, additional.kem))
    additional.is_done = True
    session.protection_after_answer = _renewed(session, secret)
    return [wire.KeyExchange(additional.kem.ikev2_id, ciphertext)]


def _renewed(session: Ikev2Session, secret: bytes) -> Protection:
    """SKEYSEED(n) = prf(SK_d(n-1), SK(n) | Ni | Nr), and all keys from it."""
    before = session.protection
    seed = rekeyed_skeyseed(before.prf, before.keys.sk_d, secret, session.nonce_i, session.nonce_r)
    return Protection(before.transform, seed, session.nonce_i, session.nonce_r, session.spi_i, session.spi_r,
                      initiator=session.initiator)
