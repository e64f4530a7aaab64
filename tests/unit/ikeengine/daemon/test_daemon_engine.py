# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the engine keeps sessions and data planes together: order, refusals, reloads and the end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from ikeengine.daemon.log import Level
from ikeengine.daemon.planes import Unservable
from ikeengine.dataplane.interface import Acquire, Expired, Moved
from ikeengine.ike.events import Failed
from ikeengine.negotiation.reasons import Reason

Json = dict[str, Any]
Pair = Any


def test_routes_are_protected_before_any_sa_and_the_inbound_sa_comes_first(pair: Pair) -> None:
    async def test() -> None:
        await pair.hq.ask("up", gateway="peer")
        assert [call for call, _ in pair.hq.plane.calls] == ["protect", "clear_leftovers", "add_inbound",
                                                              "add_outbound"]

    pair.run(test)


def test_an_sa_that_the_data_plane_refuses_is_closed_and_the_reason_shown(pair: Pair) -> None:
    pair.hq_plane.refuses = "add_inbound"

    async def test() -> None:
        with pytest.raises(Exception, match="lan: no room"):
            await pair.hq.ask("up", gateway="peer", timeout=10)
        assert (await pair.hq.tunnel())["last_error"] == "tunnel lan of peer: lan: no room"
        assert "the data plane refused an SA" in pair.hq.messages()

    pair.run(test)


def test_traffic_brings_up_what_starts_with_traffic(pair: Pair, declare: Callable[..., Json]) -> None:
    pair.hq_declares = declare("hq", start="traffic")

    async def test() -> None:
        assert (await pair.hq.tunnel())["state"] == "down"
        assert len(pair.hq.wire.sent) == 1  # INVALID_SPI, in case the peer has SAs with it
        [protection] = pair.hq.plane.protections
        with pair.hq.engine.watched() as events:
            pair.hq.plane.on_event(Acquire(protection.reqid))
            while (await pair.hq.tunnel())["state"] != "up":
                await events.get()

    pair.run(test)


def test_an_sa_that_has_carried_its_traffic_is_rekeyed(pair: Pair) -> None:
    async def test() -> None:
        await pair.hq.ask("up", gateway="peer")
        [old] = pair.hq.plane.inbound
        with pair.hq.engine.watched() as events:
            pair.hq.plane.on_event(Expired(old, hard=False))
            while old in pair.hq.plane.inbound:
                await events.get()
        assert len(pair.hq.plane.inbound) == len(pair.branch.plane.inbound) == 1
        pair.hq.plane.on_event(Expired(old, hard=True))  # late news of an SA that is gone

    pair.run(test)


def test_a_peer_whose_packets_come_from_elsewhere_is_followed(pair: Pair) -> None:
    async def test() -> None:
        await pair.hq.ask("up", gateway="peer")
        [(spi, child)] = pair.hq.plane.inbound.items()
        remote = replace(child.remote, port=61000)
        pair.hq.plane.on_event(Moved(spi, child.local, remote))
        assert ("move", f"lan {remote}") in pair.hq.plane.calls
        [ike] = (await pair.hq.ask("status"))["gateways"][0]["ike"]
        assert ike["remote"] == str(remote) and "the peer's path moved" in pair.hq.messages()

    pair.run(test)


def test_esp_goes_to_the_plane_that_has_its_spi_and_the_rest_is_counted(pair: Pair) -> None:
    async def test() -> None:
        await pair.hq.ask("up", gateway="peer")
        [spi] = pair.hq.plane.inbound
        ends = pair.hq.wire.sent[0].local, pair.hq.wire.sent[0].remote
        pair.hq.engine.receive_esp([spi.to_bytes(4, "big") + b"packet"] * 2, *ends, 0)
        pair.hq.engine.receive_esp([spi.to_bytes(4, "big") + b"packet", b"\1\2\3\4packet"], *ends, 0)
        assert len(pair.hq.plane.received) == 3
        assert (await pair.hq.ask("status"))["counters"]["datagrams_dropped"]["esp_unknown_spi"] == 1

    pair.run(test)


def test_batches_of_esp_come_only_from_a_port_that_the_kernel_does_not_have(pair: Pair,
                                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's ESP takes one packet at a time from a socket that it decapsulates."""
    async def test() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            monkeypatch.setattr(pair.hq.wire, "sockets", lambda: [(4, 4500, sock)])
            for kernel in (False, True, False):
                monkeypatch.setattr(pair.hq.engine.planes, "kernel_has_port", lambda version, its=kernel: its)
                pair.hq.engine._set_ports()
                assert bool(sock.getsockopt(socket.IPPROTO_UDP, 104)) is not kernel

    pair.run(test)


def test_the_end_tells_the_peer_and_keeps_the_protection(pair: Pair) -> None:
    async def test() -> None:
        await pair.hq.ask("up", gateway="peer")
        await pair.hq.engine.stop()
        assert pair.hq.plane.stopped is True and len(pair.hq.plane.protections) == 1
        assert pair.branch.plane.inbound == {}
        assert "gateway closed" in pair.branch.messages()

    pair.run(test)


def test_a_protection_that_fails_leaves_the_declaration_before_untouched(pair: Pair, declare: Callable[..., Json],
                                                                         secrets: Json) -> None:
    async def test() -> None:
        before = set(pair.hq.plane.protections)
        pair.hq.plane.refuses = "protect"
        with pytest.raises(Exception, match="the old declaration stays in force"):
            await pair.hq.ask("reload", declaration=declare("hq", routes=3), secrets=secrets)
        assert pair.hq.plane.protections == before
        assert len((await pair.hq.tunnel())["routes"]) == 1

    pair.run(test, joined=False)


def test_a_renamed_tunnel_never_leaves_its_route_open(pair: Pair, declare: Callable[..., Json], secrets: Json) -> None:
    async def test() -> None:
        renamed = declare("hq")
        renamed["tunnels"][0]["name"] = "office"
        await pair.hq.ask("reload", declaration=renamed, secrets=secrets)
        calls = [call for call, _ in pair.hq.plane.calls]
        assert calls == ["protect", "clear_leftovers", "protect", "unprotect"]
        assert [protection.tunnel for protection in pair.hq.plane.protections] == ["office"]

    pair.run(test, joined=False)


def test_a_route_keeps_its_number_and_a_restart_finds_the_same(pair: Pair, declare: Callable[..., Json],
                                                               secrets: Json) -> None:
    numbers: list[int] = []

    async def test() -> None:
        [protection] = pair.hq.plane.protections
        await pair.hq.ask("reload", declaration=declare("hq", routes=9), secrets=secrets)
        reqids = {item.reqid for item in pair.hq.plane.protections}
        assert len(reqids) == 9 and protection.reqid in reqids and all(0 < number < 2**20 for number in reqids)
        numbers.append(protection.reqid)
        pair.hq.plane.protections.clear()
        pair.hq.plane.calls.clear()

    pair.run(test, joined=False)
    pair.run(test, joined=False)
    assert numbers[0] == numbers[1]


def test_a_start_with_a_tunnel_that_no_plane_carries_says_which(pair: Pair) -> None:
    pair.hq_declares["tunnels"][0]["dataplane"] = "kernel"

    async def test() -> None:
        raise AssertionError("it must not start")

    with pytest.raises(Unservable, match="tunnel lan: dataplane: kernel cannot serve it here"):
        pair.run(test)
    assert pair.hq_plane.calls == []


def test_a_datagram_that_does_not_leave_this_host_is_told_to_the_session_whose_it_is(
        pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        await pair.hq.ask("up", gateway="peer")
        monkeypatch.setattr(pair.hq.wire, "send_ike", lambda _datagram: OSError(101, "Network is unreachable"))
        pair.hq.engine.manager.rekey_ike("peer", pair.hq.engine.now())
        pair.hq.engine.pump()
        (session,) = pair.hq.engine.manager._sessions
        assert session.unsent == "Network is unreachable"

    pair.run(test)


def test_a_negotiation_with_nobody_that_is_declared_is_told_of_an_unknown_peer(pair: Pair) -> None:
    pair.branch_declares["gateways"][0]["endpoints"][0]["remote"]["address"] = "203.0.113.9"

    async def test() -> None:
        with pytest.raises(Exception, match="NO_PROPOSAL_CHOSEN"):
            await pair.hq.ask("up", gateway="peer")
        failed = [row.fields for side in (pair.hq, pair.branch) for row in side.log.entries(100)
                  if row.message == "negotiation failed"]
        assert [row["peer"] for row in failed] == ["gateway peer", "unknown"]
        assert failed[1]["reason"].startswith("peer 192.0.2.1: ") and "tunnel" not in failed[1]

    pair.run(test)


def test_a_negotiation_without_a_word_of_the_wire_names_none(pair: Pair) -> None:
    async def test() -> None:
        pair.hq.engine.manager.emit(Failed("peer", None, None, Reason("it failed")))
        pair.hq.engine.pump()
        assert pair.hq.log.entries(1)[0].fields == {"peer": "gateway peer", "reason": "it failed"}

    pair.run(test, joined=False)


def test_noise_is_counted_and_told_once_with_its_sender(pair: Pair) -> None:
    async def test() -> None:
        await pair.hq.ask("up", gateway="peer")
        first = pair.hq.wire.sent[0]
        for number in range(50):
            pair.hq.engine.receive_ike(type(first)(first.local, first.remote, bytes([number]) * 40))
            pair.hq.engine.batch_received()
        status = await pair.hq.ask("status")
        assert sum(status["counters"]["datagrams_dropped"].values()) == 50
        assert pair.hq.messages().count("dropped an IKE datagram: see the counters of ikectl status") == 5

    pair.run(test)


def test_a_daemon_that_logs_errors_alone_says_nothing_of_what_goes_well(pair: Pair) -> None:
    async def test() -> None:
        pair.hq.log.level = Level.ERROR
        await pair.hq.ask("up", gateway="peer")
        assert pair.hq.messages() == []
        assert "gateway established" in pair.branch.messages()

    pair.run(test)


def test_both_ends_initiating_at_once_end_with_one_pair_that_sends_both_ways(pair: Pair,
                                                                             declare: Callable[..., Json]) -> None:
    pair.branch_declares = declare("branch")

    async def test() -> None:
        hq, branch = pair.hq.plane, pair.branch.plane
        with pair.hq.engine.watched() as at_hq, pair.branch.engine.watched() as at_branch:
            while not (len(hq.inbound) == len(branch.inbound) == 1
                       and set(hq.sending) == set(branch.inbound) and set(branch.sending) == set(hq.inbound)):
                waiting = [asyncio.ensure_future(queue.get()) for queue in (at_hq, at_branch)]
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in waiting:
                    task.cancel()

    pair.run(test)


def test_a_data_plane_that_fails_inside_is_told_and_stops_nothing(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_arguments: object) -> None:
        raise RuntimeError("what it says may be secret")

    async def test() -> None:
        await pair.hq.ask("up", gateway="peer", timeout=5)
        monkeypatch.setattr(pair.hq.plane, "receive", fails)
        spi = next(iter(pair.hq.plane.inbound)).to_bytes(4, "big")
        datagram = pair.hq.wire.sent[0]
        for _packet in range(100):
            pair.hq.engine.receive_esp([spi + bytes(40)], datagram.local, datagram.remote, 0)
        told = [str(entry) for entry in pair.hq.log.entries(1000) if "failed inside" in entry.message]
        assert 1 <= len(told) < 10 and "RuntimeError" in told[0] and "planes.py:" in told[0]
        assert "secret" not in "".join(told)
        with monkeypatch.context() as patched:
            patched.setattr(pair.hq.plane, "add_inbound", fails)
            pair.hq.engine.manager.rekey_child("lan", pair.hq.engine.now())
            pair.hq.engine.pump()
        assert (await pair.hq.tunnel())["state"] == "up"

    pair.run(test)
