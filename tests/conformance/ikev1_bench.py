# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemon's protocol half before the scripted peer of IKEv1, brought to each step of Phase 1 and Phase 2."""

from __future__ import annotations

from typing import Any

from tests.conformance import ikev1_peer as wire
from tests.conformance.bench import CHILD_SPI, HERE, THERE, Bench
from tests.conformance.ikev1_peer import AGGRESSIVE, MAIN, QUICK, Message, Peer, Row
from tests.support import ikev1
from tests.support.virtual_network import BRANCH, HQ, PSK

QUICK_ID = 0x0A0B0C0D
AGGRESSIVE_GATEWAY = {"gateway": {"mode": "aggressive"}}


def bench_of(*, starts: bool, **declaration: Any) -> Bench:
    return Bench(starts=starts, side=ikev1.hq, **declaration)


def scripted(*, initiator: bool, psk: str = PSK, seed: int = 1) -> Peer:
    return Peer(initiator=initiator, psk=psk.encode(), local=BRANCH, remote=HQ, seed=seed)


# -------------------------------------------------------------------------------------- the daemon answers

def begun(psk: str = PSK, **declaration: Any) -> tuple[Bench, Peer]:
    """Main Mode: the tester has message 2."""
    bench, peer = bench_of(starts=False, **declaration), scripted(initiator=True, psk=psk)
    offered = wire.sa()
    peer.sa_body = offered.body
    answer = wire.parse(bench.ask(peer.clear(MAIN, [offered])))
    peer.cookie_r = answer.cookie_r
    return bench, peer


def keyed(psk: str = PSK, **declaration: Any) -> tuple[Bench, Peer]:
    """Main Mode: the tester has message 4, and the keys."""
    bench, peer = begun(psk, **declaration)
    peer.take_key_exchange(wire.parse(bench.ask(peer.clear(MAIN, peer.key_exchange_rows()))))
    return bench, peer


def answered(**declaration: Any) -> tuple[Bench, Peer]:
    """Main Mode is over; there is no child SA yet."""
    bench, peer = keyed(**declaration)
    message = peer.open(bench.ask(peer.encrypted(MAIN, peer.identity_rows())))
    assert message.body(wire.HASH) == peer.proof(message.body(wire.ID), own=False) and bench.states == ["established"]
    return bench, peer


def aggressive_rows(peer: Peer) -> list[Row]:
    """Message 1 of Aggressive Mode."""
    offered = wire.sa()
    peer.sa_body = offered.body
    return [offered, *peer.key_exchange_rows(), wire.identity(peer.local)]


def aggressively_answered() -> tuple[Bench, Peer, Message]:
    """Aggressive Mode: the tester has message 2, and the keys."""
    bench, peer = bench_of(starts=False, **AGGRESSIVE_GATEWAY), scripted(initiator=True)
    message = wire.parse(bench.ask(peer.clear(AGGRESSIVE, aggressive_rows(peer))))
    peer.cookie_r = message.cookie_r
    peer.take_key_exchange(message)
    return bench, peer, message


def offer(peer: Peer, *, spi: bytes = CHILD_SPI, here: str = HERE, there: str = THERE) -> list[Row]:
    """Message 1 of Quick Mode, without its HASH."""
    return [wire.sa(protocol=wire.ESP, spi=spi), Row(wire.NONCE, b"\x5a" * 32), Row(wire.KE, peer.public),
            wire.network(here), wire.network(there)]


def offered(**declaration: Any) -> tuple[Bench, Peer, Message]:
    """Quick Mode: the tester has message 2."""
    bench, peer = answered(**declaration)
    message = peer.open(bench.ask(peer.behind_hash(QUICK, offer(peer), QUICK_ID)))
    assert peer.is_behind_hash(message, b"\x5a" * 32)
    return bench, peer, message


def up(**declaration: Any) -> tuple[Bench, Peer, Message]:
    """Quick Mode of the tester's is over."""
    bench, peer, message = offered(**declaration)
    assert bench.give(peer.confirmation(QUICK_ID, b"\x5a" * 32, message.body(wire.NONCE))) == []
    return bench, peer, message


# -------------------------------------------------------------------------------------- the daemon initiates

def asked(**declaration: Any) -> tuple[Bench, Peer, Message]:
    """Main Mode: the tester has message 1."""
    bench, peer = bench_of(starts=True, **declaration), scripted(initiator=False)
    message = wire.parse(bench.begin())
    peer.cookie_i, peer.sa_body = message.cookie_i, message.body(wire.SA)
    return bench, peer, message


def asked_for_key_exchange(**declaration: Any) -> tuple[Bench, Peer, Message]:
    """Main Mode: the tester has message 3, and the keys."""
    bench, peer, _message = asked(**declaration)
    message = wire.parse(bench.ask(peer.clear(MAIN, [wire.sa()])))
    peer.take_key_exchange(message)
    return bench, peer, message


def asked_for_identity(**declaration: Any) -> tuple[Bench, Peer, Message]:
    """Main Mode: the tester has message 5."""
    bench, peer, _message = asked_for_key_exchange(**declaration)
    message = peer.open(bench.ask(peer.clear(MAIN, peer.key_exchange_rows())))
    return bench, peer, message


def asked_for_child(**declaration: Any) -> tuple[Bench, Peer, Message]:
    """Main Mode is over, and the tester has message 1 of Quick Mode."""
    bench, peer, _message = asked_for_identity(**declaration)
    message = peer.open(bench.ask(peer.encrypted(MAIN, peer.identity_rows())))
    assert message.exchange == QUICK and peer.is_behind_hash(message) and bench.states == ["established"]
    return bench, peer, message


def grant(peer: Peer, request: Message, *, spi: bytes = CHILD_SPI) -> list[Row]:
    """Message 2 of Quick Mode, without its HASH."""
    identities = [row for row in request.rows if row.kind == wire.ID]
    return [wire.sa(protocol=wire.ESP, spi=spi), Row(wire.NONCE, b"\xa5" * 32), Row(wire.KE, peer.public), *identities]


def asked_and_up(**declaration: Any) -> tuple[Bench, Peer, Message]:
    """Quick Mode of the daemon's is over."""
    bench, peer, request = asked_for_child(**declaration)
    data = peer.behind_hash(QUICK, grant(peer, request), request.message_id, nonce=request.body(wire.NONCE))
    peer.open(bench.ask(data))
    return bench, peer, request
