# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Authenticated peers that ask for much: what they get is bounded."""

from __future__ import annotations

from typing import Any

import pytest
from ikeengine.ike.session import IkeSession
from ikeengine.security_association import Datagram
from ikeengine.wire.v1.constants import NotifyType
from ikeengine.wire.v1.delete import Delete
from ikeengine.wire.v1.notify import Notify

from tests.support import ikev1
from tests.support.virtual_network import End, VirtualNetwork, pair


def up(version: Any, **changes: Any) -> tuple[VirtualNetwork, End, End]:
    """The branch began it."""
    network, one, other = pair(version.hq(start="answer", **changes), version.branch(start="boot", **changes))
    network.start()
    network.run(3)
    assert len(one.inbound) == len(other.inbound) == len(changes.get("routes", "1"))
    return network, one, other


def session_of(end: End) -> IkeSession:
    (session,) = end.manager._sessions.established("peer")
    return session


@pytest.mark.parametrize("payloads", [
    [Delete(3, tuple(number.to_bytes(4, "big") for number in range(16_000)))],
    [Delete(3, (number.to_bytes(4, "big"),)) for number in range(120)],
    [Notify(NotifyType.R_U_THERE, number.to_bytes(4, "big"), spi=bytes(16)) for number in range(120)]],
    ids=["SPIs", "DELETEs", "questions"])
def test_a_message_of_ikev1_that_asks_for_many_answers_draws_one_datagram(payloads):
    network, one, other = up(ikev1)
    session = session_of(other)
    data = session.inform(payloads, network.now)
    other.manager.datagrams_to_send()
    one.manager.receive(Datagram(session.remote, session.local, data), network.now)
    answers = [datagram.data for datagram in one.manager.datagrams_to_send()]
    assert len(answers) == 1 and len(answers[0]) < 1280
    assert len(one.inbound) == 1 and not one.manager.counters
