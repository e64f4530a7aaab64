# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""First messages of IKEv1 from forged addresses, and the honest peer that wants in meanwhile."""

from __future__ import annotations

import gc

import pytest
from ikeengine.ikev1.session import Ikev1Session
from ikeengine.vpn import declaration
from ikeengine.vpn.model import Mode

from tests.conformance import bench as ikev2
from tests.conformance import ikev1_peer as wire
from tests.conformance.bench import Bench
from tests.conformance.ikev1_bench import aggressive_rows, bench_of, scripted
from tests.conformance.ikev1_peer import AGGRESSIVE, MAIN
from tests.support import ikev1, virtual_network
from tests.support.virtual_network import BRANCH, HQ, PSK

EITHER = {"mode": "main-fallback-aggressive"}


def flood(bench: Bench, messages: int, exchange: int = MAIN) -> None:
    """From the honest peer's own address, as everybody can who knows it."""
    for number in range(messages):
        forged = scripted(initiator=True, seed=1000 + number)
        rows = [wire.sa()] if exchange == MAIN else aggressive_rows(forged)
        bench.give(forged.clear(exchange, rows), source_port=1024 + number)


def comes_up(bench: Bench) -> bool:
    peer = scripted(initiator=True)
    offered = wire.sa()
    peer.sa_body = offered.body
    peer.cookie_r = wire.parse(bench.ask(peer.clear(MAIN, [offered]))).cookie_r
    bench.wait(0.1)
    flood(bench, 20)
    peer.take_key_exchange(wire.parse(bench.ask(peer.clear(MAIN, peer.key_exchange_rows()))))
    bench.wait(0.1)
    flood(bench, 200)
    bench.ask(peer.encrypted(MAIN, peer.identity_rows()))
    return "established" in bench.states


def test_a_flood_in_main_mode_keeps_nobody_out():
    bench = bench_of(starts=False)
    flood(bench, 200)
    assert comes_up(bench)
    assert bench.counters == {}


def test_a_flood_in_main_mode_leaves_aggressive_mode_its_room():
    bench = bench_of(starts=False, gateway=EITHER)
    flood(bench, 200)
    peer = scripted(initiator=True)
    assert bench.give(peer.clear(AGGRESSIVE, aggressive_rows(peer)))


def test_a_flood_in_aggressive_mode_costs_little_and_an_honest_peer_comes_in_after_it():
    bench = bench_of(starts=False, gateway=EITHER)
    flood(bench, 100, AGGRESSIVE)
    assert len(bench.manager._ikev1_acceptor.half_open[Mode.AGGRESSIVE]) == 32
    assert bench.counters == {"too_many_half_open": 68}
    bench.run(2.5)
    peer = scripted(initiator=True)
    assert bench.give(peer.clear(AGGRESSIVE, aggressive_rows(peer)))
    assert comes_up(bench)


def test_a_flood_does_not_put_off_our_own_tries():
    bench = bench_of(starts=True)
    flood(bench, 200)
    assert bench.manager._declared.peers["peer"].rounds == 0


def test_what_a_flood_brought_is_forgotten():
    bench = bench_of(starts=False)
    flood(bench, 2000)
    gc.collect()
    held = [row for row in gc.get_objects() if isinstance(row, Ikev1Session) and row.context is bench.manager]
    assert len(held) < 1000
    bench.run(31)
    assert bench.states == [] and not bench.manager._ikev1_acceptor.half_open[Mode.MAIN]


@pytest.mark.parametrize("first", ["IKEv1", "IKEv2"])
def test_the_same_spi_in_both_versions(first):
    endpoints = [{"local": {"address": HQ}, "remote": {"address": BRANCH}}]
    transforms = {1: {**ikev1.TRANSFORM, "name": "one"}, 2: {**virtual_network.TRANSFORM, "name": "two"}}
    side = declaration.read({
        "site": {"name": "hq"}, "transforms": list(transforms.values()), "proposals": [virtual_network.PROPOSAL],
        "gateways": [{"name": row["name"], "ike_version": version, "credential": {"method": "psk", "psk": PSK},
                      "endpoints": endpoints, "transforms": [row["name"]], "start": "answer"}
                     for version, row in transforms.items()]})
    bench = Bench(starts=False, side=lambda **_declaration: side)
    old, new = scripted(initiator=True), ikev2.scripted(initiator=True)
    new.spi_i = old.cookie_i
    messages = [old.clear(MAIN, [wire.sa()]), new.init_request()]
    for data in messages if first == "IKEv1" else messages[::-1]:
        assert bench.give(data)
    assert bench.states == ["responding", "responding"]
    bench.run(60)
    assert bench.states == []
