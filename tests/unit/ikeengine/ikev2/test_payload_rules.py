# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every row of the payload rules: the least and the most pass, one less or one more is malformed."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ikeengine.ikev2 import payload_rules
from ikeengine.wire.constants import ExchangeType, NotifyType, PayloadType
from ikeengine.wire.errors import MalformedMessage
from ikeengine.wire.message import MAX_PAYLOADS
from ikeengine.wire.notify import Notify
from ikeengine.wire.unknown import UnknownPayload

ROWS = [pytest.param(*key, id=f"{ExchangeType(key[0]).name} {'response' if key[1] else 'request'}")
        for key in payload_rules.RULES]


def message(row, **numbers):
    """Payloads as the rules see them: so many of each type, the least of those that are not named."""
    return [SimpleNamespace(type=kind) for kind, (least, _most) in row.items()
            for _copy in range(numbers.get(kind.name, least))]


@pytest.mark.parametrize(("exchange", "response"), ROWS)
def test_every_number_that_a_row_allows_passes_and_its_neighbours_do_not(exchange, response):
    row = payload_rules.RULES[exchange, response]
    for kind, (least, most) in row.items():
        for number in range(most + 2):
            payloads = message(row, **{kind.name: number})
            if least <= number <= most:
                payload_rules.check(exchange, response, payloads)
            else:
                with pytest.raises(MalformedMessage, match=kind.name):
                    payload_rules.check(exchange, response, payloads)


@pytest.mark.parametrize(("exchange", "response"), ROWS)
def test_payloads_that_a_row_does_not_name_are_skipped(exchange, response):
    others = [UnknownPayload(number, b"") for number in range(128, 250)] + [Notify(NotifyType.INITIAL_CONTACT)] * 9
    payload_rules.check(exchange, response, [*message(payload_rules.RULES[exchange, response]), *others][:MAX_PAYLOADS])


@pytest.mark.parametrize("notify", [NotifyType.NO_PROPOSAL_CHOSEN, NotifyType.COOKIE, 16383])
@pytest.mark.parametrize(("exchange", "response"), ROWS)
def test_a_response_that_refuses_needs_nothing_else(exchange, response, notify):
    needed = any(least for least, _most in payload_rules.RULES[exchange, response].values())
    if response or not needed:
        payload_rules.check(exchange, response, [Notify(notify)])
    else:
        with pytest.raises(MalformedMessage):
            payload_rules.check(exchange, response, [Notify(notify)])


def test_every_exchange_has_a_row_for_each_direction():
    assert {(exchange, response) for exchange in ExchangeType for response in (False, True)} == set(payload_rules.RULES)


def test_no_row_knows_a_payload_that_is_framing():
    assert not {PayloadType.ENCRYPTED, PayloadType.ENCRYPTED_FRAGMENT, PayloadType.NONE} & {
        kind for row in payload_rules.RULES.values() for kind in row}
