# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemon's protocol half alone before a scripted peer, on a virtual clock."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any

from ikeengine.security_association import Datagram, SocketAddress
from ikeengine.vpn.model import Side

from tests.conformance import peer as wire
from tests.conformance.peer import Peer, Row
from tests.support.virtual_network import BRANCH, HQ, PSK, VirtualNetwork, hq

HERE, THERE = "10.2.0.0/24", "10.1.0.0/24"  # the tester's network, and the one behind the daemon
CHILD_SPI = b"\xca\xfe\x00\x01"


class Bench(VirtualNetwork):
    """``starts`` has the daemon initiate; every other keyword is part of its declaration, or of the network."""

    def __init__(self, *, starts: bool, network: dict[str, Any] | None = None, side: Callable[..., Side] = hq,
                 **declaration: Any) -> None:
        super().__init__({HQ: side(start="boot" if starts else "answer", **declaration)}, **(network or {}))
        self.daemon = self.ends[HQ]
        self.manager = self.daemon.manager

    def give(self, data: bytes, *, source: str = BRANCH, source_port: int = 500, port: int = 500,
             to: str = HQ) -> list[bytes]:
        """Let the daemon receive that, and return what it sends at once."""
        already = len(self.sent)
        self.manager.receive(Datagram(SocketAddress(ipaddress.ip_address(to), port),
                                      SocketAddress(ipaddress.ip_address(source), source_port), data), self.now)
        self._collect()
        return [row.data for _time, row in self.sent[already:]]

    def ask(self, data: bytes, **path: Any) -> bytes:
        """As `give`, where exactly one datagram comes back."""
        (answer,) = self.give(data, **path)
        return answer

    def wait(self, seconds: float) -> list[bytes]:
        """Let time pass, and return what the daemon sends meanwhile."""
        already = len(self.sent)
        self.run(seconds)
        return [row.data for _time, row in self.sent[already:]]

    def begin(self) -> bytes:
        """The daemon's first request."""
        self.start()
        return self.sent[-1][1].data

    @property
    def states(self) -> list[str]:
        """The states of all IKE SAs, in the order in which they began."""
        return [session.state.value for session in self.manager._sessions]

    @property
    def counters(self) -> dict[str, int]:
        return dict(self.manager.counters)


def scripted(*, initiator: bool, psk: str = PSK, seed: int = 1) -> Peer:
    return Peer(initiator, psk.encode(), BRANCH, HQ, seed)


def child_rows(peer: Peer, spi: bytes = CHILD_SPI) -> list[Row]:
    return peer.child_rows(spi, HERE, THERE)


def half_open(**declaration: Any) -> tuple[Bench, Peer]:
    """The tester has initiated, and has the daemon's IKE_SA_INIT response."""
    bench, peer = Bench(starts=False, **declaration), scripted(initiator=True)
    peer.take_init_response(bench.ask(peer.init_request()))
    return bench, peer


def answered(**declaration: Any) -> tuple[Bench, Peer]:
    """The tester has initiated; IKE SA and first child SA are up."""
    bench, peer = half_open(**declaration)
    answer = peer.open(bench.ask(peer.seal(wire.IKE_AUTH, peer.auth_rows(child_rows(peer)))))
    assert peer.proves_itself(answer) and bench.states == ["established"]
    return bench, peer


def authenticating(**declaration: Any) -> tuple[Bench, Peer, wire.Message]:
    """The daemon has initiated, and its IKE_AUTH request waits for an answer."""
    bench, peer = Bench(starts=True, **declaration), scripted(initiator=False)
    peer.take_init_request(bench.begin())
    request = peer.open(bench.ask(peer.init_response()))
    return bench, peer, request


def initiated(**declaration: Any) -> tuple[Bench, Peer]:
    """The daemon has initiated; IKE SA and first child SA are up."""
    bench, peer, request = authenticating(**declaration)
    assert peer.proves_itself(request)
    rows = peer.auth_rows(child_rows(peer))
    assert bench.give(peer.seal(wire.IKE_AUTH, rows, response=True, message_id=1)) == []
    assert bench.states == ["established"]
    return bench, peer


# -------------------------------------------------------------------------------------- CREATE_CHILD_SA

NEW_SPI = b"\xca\xfe\x00\x02"
LOW, HIGH = bytes(32), b"\xff" * 32


def new_child(peer: Peer, *, spi: bytes = NEW_SPI, number: bytes = HIGH, here: str = HERE, there: str = THERE,
              asking: bool = True) -> list[Row]:
    """A child SA with PFS, as asked for or as granted; ``number`` is the nonce."""
    offered, *selectors = peer.child_rows(spi, here, there, wire.PFS_SUITE, asking=asking)
    return [offered, wire.nonce(number), wire.ke(peer.public), *selectors]


def rekeyed_child(peer: Peer, *, old: bytes = CHILD_SPI, **changes: Any) -> list[Row]:
    """The request to rekey the child SA on which the tester receives by that SPI."""
    return [wire.notify(wire.REKEY_SA, protocol=wire.ESP, spi=old), *new_child(peer, **changes)]


def new_ike(peer: Peer, *, spi: bytes = b"\x11" * 8, number: bytes = HIGH) -> list[Row]:
    """An IKE SA in place of the one, as asked for or as granted."""
    return [wire.sa(wire.proposal(spi=spi)), wire.nonce(number), wire.ke(peer.public)]


def asked_by_tester(peer: Peer, request: list[Row], answer: wire.Message) -> Peer:
    """The IKE SA that a rekey of the tester's made."""
    nonce_i = next(row.body for row in request if row.kind == wire.NONCE)
    return peer.successor(initiator=True, spi_i=b"\x11" * 8, spi_r=answer.proposals[0][2], nonce_i=nonce_i,
                          nonce_r=answer.body(wire.NONCE), shared=peer.shared_secret(answer))


def asked_by_daemon(peer: Peer, request: wire.Message, number: bytes = HIGH) -> Peer:
    """The IKE SA that a rekey of the daemon's makes, once the tester has granted it with `new_ike`."""
    return peer.successor(initiator=False, spi_i=request.proposals[0][2], spi_r=b"\x11" * 8,
                          nonce_i=request.body(wire.NONCE), nonce_r=number, shared=peer.shared_secret(request))
