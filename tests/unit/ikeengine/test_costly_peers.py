# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Authenticated peers that ask for much: what they get is bounded."""

from __future__ import annotations

from typing import Any

import pytest
from ikeengine.ike.events import Failed, IkeEstablished
from ikeengine.ike.session import IkeSession
from ikeengine.ikev1.session import Ikev1Session
from ikeengine.ikev2 import crash_detection
from ikeengine.ikev2.informational import DeleteIke
from ikeengine.ikev2.session import Ikev2Session
from ikeengine.security_association import Datagram
from ikeengine.wire import notify
from ikeengine.wire.constants import ExchangeType, HeaderFlag
from ikeengine.wire.constants import NotifyType as NotifyTypes
from ikeengine.wire.message import encode_message
from ikeengine.wire.v1.constants import NotifyType
from ikeengine.wire.v1.delete import Delete
from ikeengine.wire.v1.notify import Notify

from tests.support import ikev1, virtual_network
from tests.support.virtual_network import BRANCH, HQ, End, VirtualNetwork, agree, pair

VERSIONS = [pytest.param(ikev1, id="IKEv1"), pytest.param(virtual_network, id="IKEv2")]


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


def with_two(version: Any, start: str, further: Any) -> tuple[VirtualNetwork, End, End]:
    """Two tunnels, of which the peer has the first."""
    options: dict[str, Any] = {"gateway": {"dead_peer_detection": {"idle": "1s", "retries": 2}}, "further": further}
    routes = (("10.1.0.0/24", "10.2.0.0/24"), ("10.1.1.0/24", "10.2.1.0/24"))
    network, one, other = pair(version.hq(start=start, routes=routes, tunnels=2, **options),
                               version.branch(start="answer", routes=routes[:1], **options))
    network.start()
    return network, one, other


def under_traffic(network: VirtualNetwork, end: End, seconds: float) -> None:
    """Packets for what sends on nothing, each half second."""
    until = network.now + seconds
    while network.now < until:
        sending = {child.tunnel for child in end.sending.values()}
        for tunnel in end.manager.overview.tunnels():
            for route in tunnel.routes if tunnel.name not in sending else ():
                end.manager.acquire(network._reqid(tunnel.name, route.declared), network.now)
        network._collect()
        network.run(0.5)


@pytest.mark.parametrize("start", ["boot", "traffic"])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_tunnel_that_the_peer_refuses_delays_no_failover(version, start):
    paths = (HQ, BRANCH), ("192.0.2.66", "198.51.100.66"), ("192.0.2.99", "198.51.100.99")
    further = tuple({"local": {"address": local}, "remote": {"address": remote}} for local, remote in paths[1:])
    network, one, _other = with_two(version, start, further)
    under_traffic(network, one, 600)
    assert [child.tunnel for child in one.sending.values()] == ["lan"]
    for ends in paths[:2]:
        network.cut(*ends)
    under_traffic(network, one, 8)
    assert [(child.tunnel, str(child.remote.address)) for child in one.sending.values()] == [("lan", paths[2][1])]


@pytest.mark.parametrize("start", ["boot", "traffic"])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_tunnel_that_the_peer_refuses_delays_no_other(version, start):
    network, one, other = with_two(version, start, ())
    under_traffic(network, one, 600)
    asked = one.count(Failed)
    under_traffic(network, one, 600)
    assert 5 <= one.count(Failed) - asked <= 20
    session = session_of(other)
    (child,) = session.children
    session.delete_child(child, "idle", network.now)
    under_traffic(network, one, 3)
    assert [child.tunnel for child in one.sending.values()] == ["lan"]


@pytest.mark.parametrize("start", ["boot", "traffic"])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_peer_that_closes_each_ike_sa_at_once_is_backed_off(version, start):
    network, one, other = pair(version.hq(start=start), version.branch(start="answer"))
    network.start()
    under_traffic(network, one, 30)
    before, until = one.count(IkeEstablished), network.now + 600
    while network.now < until:
        for session in list(other.manager._sessions.established("peer")):
            session.leave("policy", network.now)
        under_traffic(network, one, 0.5)
    assert 5 <= one.count(IkeEstablished) - before <= 20
    under_traffic(network, one, 90)
    assert len(one.sending) == 1
    network.run(300)
    session_of(other).leave("once", network.now)
    under_traffic(network, one, 3)
    assert len(one.sending) == 1


@pytest.mark.parametrize("start", ["boot", "traffic"])
def test_a_peer_that_loses_each_ike_sa_at_once_is_backed_off(start):
    """By the token of RFC 6290, which has a lost one made anew without a pause."""
    network, one, other = pair(virtual_network.hq(start=start), virtual_network.branch(start="answer"))
    network.start()
    under_traffic(network, one, 30)

    def crash() -> None:
        before = one.count(IkeEstablished)
        for session in list(other.manager._sessions.established("peer")):
            data = encode_message(
                spi_i=session.spi_i, spi_r=session.spi_r, exchange=ExchangeType.INFORMATIONAL,
                flags=HeaderFlag.RESPONSE, message_id=0,
                payloads=[notify.Notify(NotifyTypes.INVALID_IKE_SPI), *crash_detection.own(session)])
            other.manager.send(Datagram(session.local, session.remote, data))
            session.close("", network.now)
        network._collect()
        network.run(0.1)
        if start == "traffic":
            under_traffic(network, one, 0.1)
        came_back.append(one.count(IkeEstablished) - before)

    came_back: list[int] = []
    crash()
    assert came_back == [1]
    for _time in range(1200):
        crash()
    assert 5 <= sum(came_back) <= 20
    under_traffic(network, one, 200)
    crash()
    assert came_back[-1] == 1 and len(one.sending) == 1


@pytest.mark.parametrize("version", VERSIONS)
def test_a_peer_that_rekeys_its_ike_sa_again_and_again_and_deletes_none_holds_a_few(version, monkeypatch):
    network, one, other = up(version)
    mute = [other.manager]

    def silenced(plain: Any) -> Any:
        return lambda session, reason, now: (
            session.close(reason, now) if session.context in mute else plain(session, reason, now))

    for kind, name in ((Ikev1Session, "leave"), (Ikev1Session, "drop"), (Ikev2Session, "drop")):
        monkeypatch.setattr(kind, name, silenced(getattr(kind, name)))
    request = DeleteIke.request
    monkeypatch.setattr(DeleteIke, "request", lambda task, session, now: (
        None if session.context in mute else request(task, session, now)))
    most = 0
    for _time in range(100):
        max(other.manager._sessions.established("peer"), key=lambda row: row.created_at).rekey(network.now)
        network._collect()
        network.run(0.05)
        most = max(most, len(one.manager._sessions))
    assert most <= 17
    mute.clear()
    network.run(120)
    agree(one, other, routes=1)
    assert len(one.manager._sessions) == 1
