# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which payloads a message must have and how often it may have them (RFC 7296 §1.2-§1.4, appendix C; RFC 9242
§3.2, RFC 9370 §2.2).

Every message is held against this before the code of its exchange sees it. What stands in clear before the Encrypted
payload of a protected message is not looked at by anything. Payloads that a row does not name may come in any number,
up to `MAX_PAYLOADS`, and are skipped (§2.5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from ..wire.constants import ExchangeType, NotifyType, PayloadType
from ..wire.errors import MalformedMessage
from ..wire.message import Payload, notify
from .exchange import error_in

#: (least, most) of each payload type.
Row: TypeAlias = Mapping[PayloadType, tuple[int, int]]

_ONE = (1, 1)
_AT_MOST_ONE = (0, 1)
_REQUEST, _RESPONSE = False, True
_CHILD = {PayloadType.TS_I: _AT_MOST_ONE, PayloadType.TS_R: _AT_MOST_ONE}
_INIT = {PayloadType.SA: _ONE, PayloadType.KE: _ONE, PayloadType.NONCE: _ONE}
_CREATE_CHILD = {PayloadType.SA: _ONE, PayloadType.NONCE: _ONE, PayloadType.KE: _AT_MOST_ONE, **_CHILD}

#: By exchange, and whether it is a response. A response that refuses need not have what a granting one must.
RULES: Mapping[tuple[int, bool], Row] = {
    (ExchangeType.IKE_SA_INIT, _REQUEST): _INIT,
    (ExchangeType.IKE_SA_INIT, _RESPONSE): _INIT,
    (ExchangeType.IKE_AUTH, _REQUEST): {PayloadType.ID_I: _ONE, PayloadType.ID_R: _AT_MOST_ONE, PayloadType.AUTH: _ONE,
                                        PayloadType.SA: _AT_MOST_ONE, **_CHILD},
    (ExchangeType.IKE_AUTH, _RESPONSE): {PayloadType.ID_R: _ONE, PayloadType.AUTH: _ONE, PayloadType.SA: _AT_MOST_ONE,
                                         **_CHILD},
    (ExchangeType.CREATE_CHILD_SA, _REQUEST): _CREATE_CHILD,
    (ExchangeType.CREATE_CHILD_SA, _RESPONSE): _CREATE_CHILD,
    (ExchangeType.INFORMATIONAL, _REQUEST): {},
    (ExchangeType.INFORMATIONAL, _RESPONSE): {},
    (ExchangeType.IKE_INTERMEDIATE, _REQUEST): {PayloadType.KE: _AT_MOST_ONE},
    (ExchangeType.IKE_INTERMEDIATE, _RESPONSE): {PayloadType.KE: _AT_MOST_ONE},
    (ExchangeType.IKE_FOLLOWUP_KE, _REQUEST): {PayloadType.KE: _ONE},
    (ExchangeType.IKE_FOLLOWUP_KE, _RESPONSE): {PayloadType.KE: _ONE},
}


def check(exchange: int, response: bool, payloads: Sequence[Payload]) -> None:
    """Raises MalformedMessage where a payload is missing, or there too often."""
    row = RULES.get((exchange, response))
    if not row:
        return
    seen: dict[int, int] = {}
    for payload in payloads:
        kind = payload.type
        seen[kind] = seen.get(kind, 0) + 1
    for payload_type, (least, most) in row.items():
        number = seen.get(payload_type, 0)
        if number > most:
            raise MalformedMessage(f"{number} {payload_type.name} payloads")
        if number < least and not (response and _refuses(payloads)):
            raise MalformedMessage(f"no {payload_type.name} payload")


def _refuses(payloads: Sequence[Payload]) -> bool:
    return error_in(payloads) is not None or notify(payloads, NotifyType.COOKIE) is not None
