# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The corpora of seeds, made anew from our own handshakes: python -m tests.fuzz.seeds.

Each seed is what an honest peer says, in the place where a hostile one would change it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "files" / "ikeengine")]

from ikeengine.ike.context import Settings  # noqa: E402
from ikeengine.ikev2.protection import Protection  # noqa: E402
from ikeengine.wire.authentication import Authentication  # noqa: E402
from ikeengine.wire.constants import ExchangeType, HeaderFlag  # noqa: E402
from ikeengine.wire.header import HEADER_SIZE, decode_header  # noqa: E402
from ikeengine.wire.message import Payload, encode_payloads  # noqa: E402

from tests.fuzz import certificate_seeds, decoders, ikev1_seeds, ikev2_sessions, steps  # noqa: E402
from tests.fuzz.attacker import DELETE_CHILD, DELETE_IKE, REKEY_CHILD, REKEY_IKE  # noqa: E402
from tests.fuzz.ikev2_sessions import CBC, COOKIES, EXCHANGES, HYBRID, INITIATOR, STAGE, STAGE_STEP  # noqa: E402
from tests.fuzz.steps import Kind, Step  # noqa: E402
from tests.support import key_pairs  # noqa: E402
from tests.support.virtual_network import branch, hq, pair  # noqa: E402

CORPUS = Path(__file__).parent / "corpus"
#: Flags, exchange, and the payloads of a message that one of our sessions sealed.
Sealed = tuple[int, int, Sequence[Payload]]
_UP = STAGE  # more than there is to hear


def main() -> None:
    clear, sealed = _said(0)
    hybrid = _said(HYBRID)
    chains = [encode_payloads(payloads) for _flags, _exchange, payloads in sealed]
    _write("ikev2-decoders", [bytes([decoders.WHOLE]) + data for data in clear]
           + [bytes([decoders.CHAIN, first_type]) + chain for first_type, chain in chains])
    _write("ikev2-sessions", [*_beginnings(clear), *_handshakes(sealed), *map(_later, sealed),
                              *_of_hybrid(*hybrid)])
    _write("certificates", certificate_seeds.of_certificates())
    _write("ikev1-decoders", ikev1_seeds.of_decoders())
    _write("ikev1-sessions", ikev1_seeds.of_sessions())


def _said(suite: int) -> tuple[list[bytes], list[Sealed]]:
    """What two daemons say to each other in clear, and sealed, from the first message to the last."""
    sealed: list[Sealed] = []
    plain_seal = Protection.seal

    def seal(self: Protection, payloads: Sequence[Payload], **about: Any) -> tuple[bytes, ...]:
        sealed.append((about["flags"], about["exchange"], payloads))
        return plain_seal(self, payloads, **about)

    Protection.seal = seal  # type: ignore[method-assign]
    options = ikev2_sessions.options(suite)
    network, one, other = pair(hq(**options), branch(start="answer", **options),
                               settings=Settings(cookie_threshold=0))
    network.start()
    network.run(1)
    for end in (one, other):
        end.manager.rekey_child("lan", network.now)
        network.run(10)
        end.manager.rekey_ike("peer", network.now)
        network.run(60)  # and now and then an empty message, to see whether the peer is alive
    one.manager.terminate("peer", network.now, "lan1")
    network.run(1)
    one.manager.terminate("peer", network.now)
    network.run(1)
    Protection.seal = plain_seal  # type: ignore[method-assign]
    clear = [row.data for _time, row in network.sent if row.data[18] == ExchangeType.IKE_SA_INIT]
    return clear, sealed


def _beginnings(clear: Iterable[bytes]) -> list[bytes]:
    """IKE_SA_INIT in clear, to an end of either role that has heard nothing yet."""
    found = []
    for data in clear:
        header = decode_header(data)
        step = Step(Kind.CLEAR, EXCHANGES.index(ExchangeType.IKE_SA_INIT), header.next_payload, data[HEADER_SIZE:])
        scenario = INITIATOR if header.is_response else 0
        found += [steps.encode(scenario, [step]), steps.encode(scenario | CBC, [step]),
                  steps.encode(scenario | COOKIES, [step]), steps.encode(0, [Step(Kind.DATAGRAM, body=data)])]
    return found


def _handshakes(sealed: Iterable[Sealed]) -> list[bytes]:
    """IKE_AUTH to an end that has exchanged IKE_SA_INIT."""
    found = []
    for row in sealed:
        if row[1] == ExchangeType.IKE_AUTH:
            scenario = STAGE_STEP | (INITIATOR if row[0] & HeaderFlag.RESPONSE else 0)
            found += [steps.encode(scenario, [_step(row)]), steps.encode(scenario | CBC, [_step(row)])]
    return found


def _later(row: Sealed) -> bytes:
    """What came after, to an end that is up and, for an answer, has just been told to ask."""
    step = _step(row)
    if step.kind is Kind.REQUEST:
        return steps.encode(_UP | (INITIATOR if not row[0] & HeaderFlag.INITIATOR else 0), [step])
    kinds = {type(payload).__name__ for payload in row[2]}
    asked = (DELETE_IKE if not kinds else DELETE_CHILD) if row[1] == ExchangeType.INFORMATIONAL else (
        REKEY_CHILD if "TrafficSelectorsInitiator" in kinds else REKEY_IKE)
    return steps.encode(_UP | INITIATOR, [Step(Kind.ORDER, first_type=asked), step])


def _of_hybrid(clear: Iterable[bytes], sealed: Iterable[Sealed]) -> list[bytes]:
    """What other suites do not have."""
    found = [bytes([seed[0] | HYBRID]) + seed[1:] for seed in _beginnings(clear)]
    for row in sealed:
        initiator = INITIATOR if row[0] & HeaderFlag.RESPONSE else 0
        if row[1] == ExchangeType.IKE_INTERMEDIATE:
            found.append(steps.encode(HYBRID | STAGE_STEP | initiator, [_step(row)]))
        elif row[1] in (ExchangeType.IKE_FOLLOWUP_KE, ExchangeType.CREATE_CHILD_SA):
            found.append(steps.encode(HYBRID | _UP | initiator, [Step(Kind.ORDER, first_type=REKEY_CHILD), _step(row)]
                                      if initiator else [_step(row)]))
    return found


def _step(row: Sealed) -> Step:
    flags, exchange, payloads = row
    unproved = Authentication.decode_body(ikev2_sessions.UNPROVED)
    first_type, chain = encode_payloads([unproved if isinstance(each, Authentication) else each for each in payloads])
    kind = Kind.RESPONSE if flags & HeaderFlag.RESPONSE else Kind.REQUEST
    return Step(kind, EXCHANGES.index(ExchangeType(exchange)), first_type, chain)


def _write(target: str, seeds: Iterable[bytes]) -> None:
    lines = sorted({seed.hex() for seed in seeds}, key=lambda line: (len(line), line))
    CORPUS.mkdir(exist_ok=True)
    (CORPUS / f"{target}.hex").write_text("".join(f"{line}\n" for line in lines))
    print(f"{target}: {len(lines)} seeds")


if __name__ == "__main__":
    with key_pairs.one_for_each_group():
        main()
