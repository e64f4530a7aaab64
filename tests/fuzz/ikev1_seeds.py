# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The seeds of IKEv1, for `seeds`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ikeengine.ikev1.protection import IvChain
from ikeengine.ikev1.session import Ikev1Session
from ikeengine.wire.header import HEADER_SIZE, decode_header
from ikeengine.wire.v1.constants import ExchangeType, HeaderFlag, PayloadType

from tests.support.ikev1 import branch, hq
from tests.support.virtual_network import VirtualNetwork, pair

from . import chains, decoders, steps
from .attacker import REKEY_CHILD
from .ikev1_sessions import _OPTIONS, AGGRESSIVE, EXCHANGES, INITIATOR, STAGE, STAGE_STEP, UNPROVED, recorded
from .steps import Kind, Step


class _Sealed(NamedTuple):
    """A message that one of our sessions encrypted; ``octets`` is the chain within."""

    of_initiator: bool
    exchange: ExchangeType
    message_id: int
    first_type: int
    octets: bytes


def of_decoders() -> list[bytes]:
    """Whole messages in clear, and what was within the others."""
    network, sealed = _lived({"mode": "main"})
    clear = [row.data for _time, row in network.sent if not decode_header(row.data).flags & HeaderFlag.ENCRYPTION]
    return [*(bytes([decoders.WHOLE]) + data for data in clear),
            *(bytes([decoders.CHAIN, row.first_type]) + row.octets for row in sealed)]


def of_sessions() -> list[bytes]:
    """What an honest peer says, at the time when it says it."""
    found = [steps.encode(flags | stage * STAGE_STEP, [step]) for flags in (0, INITIATOR, AGGRESSIVE,
                                                                          INITIATOR | AGGRESSIVE)
             for stage, step in _in_clear(flags)]
    for mode, flags in (("main", 0), ("aggressive", AGGRESSIVE)):
        _network, sealed = _lived({"mode": mode})
        for row in sealed:
            scenario = flags | (0 if row.of_initiator else INITIATOR)
            if not row.message_id:
                stage = 1 if flags else 2
                found.append(steps.encode(scenario | stage * STAGE_STEP, [_step(row)]))
            else:
                found.append(steps.encode(scenario | STAGE, _of_phase_2(row, sealed)))
    return found


def _in_clear(flags: int) -> Iterator[tuple[int, Step]]:
    for stage, datagram in enumerate(recorded(bool(flags & INITIATOR), bool(flags & AGGRESSIVE)).said):
        header = decode_header(datagram.data)
        if not header.flags & HeaderFlag.ENCRYPTION:
            yield stage, Step(Kind.CLEAR, EXCHANGES.index(ExchangeType(header.exchange)), header.next_payload,
                              datagram.data[HEADER_SIZE:])


def _of_phase_2(row: _Sealed, sealed: list[_Sealed]) -> list[Step]:
    """The message, after what it answers."""
    exchange = [each for each in sealed if each.message_id == row.message_id]
    step = _step(row)
    if row is exchange[0]:
        return [step]
    step.kind = Kind.RESPONSE
    if row.of_initiator is not exchange[0].of_initiator:
        return [Step(Kind.ORDER, first_type=REKEY_CHILD), step]
    return [_step(exchange[0]), step]


def _step(row: _Sealed) -> Step:
    payloads = chains.split(row.first_type, row.octets)
    assert payloads is not None
    unproved = [(*each[:2], UNPROVED if each[0] == PayloadType.HASH else each[2]) for each in payloads]
    return Step(Kind.REQUEST, EXCHANGES.index(row.exchange), row.first_type, chains.joined(unproved)[1])


def _lived(gateway: dict[str, str]) -> tuple[VirtualNetwork, list[_Sealed]]:
    """Two daemons from the first message to the last, and all that they encrypted."""
    sealed: list[_Sealed] = []
    plain = Ikev1Session._encrypted

    def encrypted(self: Ikev1Session, first_type: int, octets: bytes, exchange: ExchangeType, message_id: int,
                  ivs: IvChain) -> bytes:
        sealed.append(_Sealed(self.initiator, exchange, message_id, first_type, octets))
        return plain(self, first_type, octets, exchange, message_id, ivs)

    Ikev1Session._encrypted = encrypted  # type: ignore[method-assign]
    network, one, other = pair(hq(gateway=gateway, **_OPTIONS), branch(gateway=gateway, **_OPTIONS))
    network.start()
    network.run(1)
    for end in (one, other):
        end.manager.rekey_child("lan", network.now)
        network.run(10)
        end.manager.rekey_ike("peer", network.now)
        network.run(60)  # and now and then a question whether the peer is alive
    one.manager.terminate("peer", network.now, "lan1")
    network.run(1)
    one.manager.terminate("peer", network.now)
    network.run(1)
    Ikev1Session._encrypted = plain  # type: ignore[method-assign]
    return network, sealed
