# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which payloads a message must have and how often it may have them (RFC 7296 §1.2-§1.4, appendix C; RFC 9242
§3.2, RFC 9370 §2.2).

Every message is held against this before the code of its exchange sees it. What stands in clear before the Encrypted
payload of a protected message is not looked at by anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..wire.constants import ExchangeType, NotifyType, PayloadType
from ..wire.message import Payload, notify
from ..wire.payload_rules import AT_MOST_ONE, ONE, Row, is_missing, missing
from .exchange import error_in

_REQUEST, _RESPONSE = False, True
_CHILD: Row = {PayloadType.TS_I: AT_MOST_ONE, PayloadType.TS_R: AT_MOST_ONE}
_INIT: Row = {PayloadType.SA: ONE, PayloadType.KE: ONE, PayloadType.NONCE: ONE}
_CREATE_CHILD: Row = {PayloadType.SA: ONE, PayloadType.NONCE: ONE, PayloadType.KE: AT_MOST_ONE, **_CHILD}

#: By exchange, and whether it is a response.
RULES: Mapping[tuple[int, bool], Row] = {
    (ExchangeType.IKE_SA_INIT, _REQUEST): _INIT,
    (ExchangeType.IKE_SA_INIT, _RESPONSE): _INIT,
    # Without AUTH the peer asks for EAP (RFC 7296 §2.16).
    (ExchangeType.IKE_AUTH, _REQUEST): {PayloadType.ID_I: ONE, PayloadType.ID_R: AT_MOST_ONE,
                                        PayloadType.AUTH: AT_MOST_ONE, PayloadType.SA: AT_MOST_ONE, **_CHILD},
    (ExchangeType.IKE_AUTH, _RESPONSE): {PayloadType.ID_R: ONE, PayloadType.AUTH: ONE, PayloadType.SA: AT_MOST_ONE,
                                         **_CHILD},
    (ExchangeType.CREATE_CHILD_SA, _REQUEST): _CREATE_CHILD,
    (ExchangeType.CREATE_CHILD_SA, _RESPONSE): _CREATE_CHILD,
    (ExchangeType.INFORMATIONAL, _REQUEST): {},
    (ExchangeType.INFORMATIONAL, _RESPONSE): {},
    (ExchangeType.IKE_INTERMEDIATE, _REQUEST): {PayloadType.KE: AT_MOST_ONE},
    (ExchangeType.IKE_INTERMEDIATE, _RESPONSE): {PayloadType.KE: AT_MOST_ONE},
    (ExchangeType.IKE_FOLLOWUP_KE, _REQUEST): {PayloadType.KE: ONE},
    (ExchangeType.IKE_FOLLOWUP_KE, _RESPONSE): {PayloadType.KE: ONE},
}


def check(exchange: int, response: bool, payloads: Sequence[Payload]) -> None:
    """Raises MalformedMessage where a payload is missing, or there too often. A response that refuses need not have
    what one that grants must."""
    row = RULES.get((exchange, response))
    if row:
        kind = missing(row, payloads)
        if kind is not None and not (response and _refuses(payloads)):
            raise is_missing(kind)


def _refuses(payloads: Sequence[Payload]) -> bool:
    return error_in(payloads) is not None or notify(payloads, NotifyType.COOKIE) is not None
