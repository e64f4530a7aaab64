# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Live IKEv1 sessions under the fire of a peer that has the keys, as `ikev2_sessions`.

Before Phase 1 is over a request is its next encrypted message; after it, a message of a new exchange, and a response
the next one of the Quick Mode that began last. Where a message has a HASH payload of `UNPROVED`, it gets the right one.
"""

from __future__ import annotations

from functools import cache

from ikeengine.crypto.errors import CryptoError
from ikeengine.ike.session import IkeSession
from ikeengine.ikev1 import phase1
from ikeengine.ikev1.protection import IvChain, Protection
from ikeengine.ikev1.quick_mode import Initiated, QuickMode
from ikeengine.ikev1.session import Ikev1Session
from ikeengine.ikev1.state import Step as Stage
from ikeengine.wire.errors import WireError
from ikeengine.wire.v1.constants import ExchangeType, HeaderFlag, PayloadType
from ikeengine.wire.v1.identification import Identification
from ikeengine.wire.v1.message import encode_header

from tests.support.ikev1 import branch, hq

from . import chains
from .attacker import Attacker
from .feed import Feed
from .recording import Recording, record
from .steps import Kind, Step

#: A scenario: whether the end that initiates is attacked, in which mode, how many datagrams of its honest peer it has
#: heard before, and whether the hostile peer comes from port 4500.
INITIATOR, AGGRESSIVE, STAGE, OTHER_PORT = 0x01, 0x02, 0x1C, 0x80
STAGE_STEP = 0x04

EXCHANGES = tuple(ExchangeType)
UNPROVED = bytes(32)
"""The body of a HASH payload that is to be right."""
_TRANSFORM = {"name": "p1", "authentication": "SHA2-256", "encryption": "AES-256", "sa_life": "24h", "key_group": 19}
_OPTIONS = {"transforms": (_TRANSFORM,), "pfs": {"enabled": True, "key_group": 19}, "tunnels": 2,
            "routes": (("10.1.0.0/24", "10.2.0.0/24"), ("10.1.1.0/24", "10.2.1.7"))}
_WITH_KEYS = (Stage.MAIN_5, Stage.MAIN_6, Stage.AGGRESSIVE_3, Stage.UP)


def attack(data: bytes) -> None:
    """One input, on an end of its own. Raises whatever the end raises, which must be nothing."""
    feed = Feed(data)
    scenario = feed.octet()
    recording = recorded(bool(scenario & INITIATOR), bool(scenario & AGGRESSIVE))
    _Attacker(recording, (scenario & STAGE) // STAGE_STEP, 4500 if scenario & OTHER_PORT else 500).run(feed)


@cache
def recorded(initiator: bool, aggressive: bool) -> Recording:
    """``initiator`` is whether the end that initiates is the one under attack."""
    gateway = {"mode": "aggressive" if aggressive else "main"}
    ends = (make(start="answer", gateway=gateway, **_OPTIONS) for make in (hq, branch))
    return record(*ends, attacked=0 if initiator else 1)


class _Attacker(Attacker):
    major = 1
    exchanges = EXCHANGES
    flags_in_clear = 0

    _last_id = 0x100

    def say_sealed(self, step: Step, exchange: int, session: IkeSession) -> None:
        if not isinstance(session, Ikev1Session) or session.step not in _WITH_KEYS:
            return
        if not session.has_keys:
            try:
                phase1.derive(session)
            except CryptoError:  # the first messages had a public value that is none
                return
        protection = session.protection
        if session.step is not Stage.UP:
            message_id, ivs = step.other, protection.phase1
            proof = _identity_proof(session, step)
        else:
            begun = session.exchanges.all()[-1:] if step.kind is Kind.RESPONSE else []
            self._last_id += 1
            message_id = (begun[0].message_id if begun else self._last_id) ^ step.other
            ivs = begun[0].ivs if begun else protection.exchange(message_id)
            proof = _proof(protection, begun[0] if begun else None, message_id, _after_hash(step))
        body = _with(step, proof)
        sealed = protection.encrypt(body, IvChain(ivs.iv))
        self.say(encode_header(cookie_i=session.spi_i, cookie_r=session.spi_r, first_payload=step.first_type,
                               exchange=exchange, flags=HeaderFlag.ENCRYPTION, message_id=message_id,
                               body_size=len(sealed)) + sealed)


def _after_hash(step: Step) -> bytes:
    """What a HASH payload in front covers."""
    payloads = chains.split(step.first_type, step.body)
    return chains.joined(payloads[1:])[1] if payloads else b""


def _with(step: Step, proof: bytes) -> bytes:
    payloads = chains.split(step.first_type, step.body)
    if payloads is None:
        return step.body
    return chains.joined([(*row[:2], proof if row[0] == PayloadType.HASH and row[2] == UNPROVED else row[2])
                          for row in payloads])[1]


def _proof(protection: Protection, begun: QuickMode | None, message_id: int, covered: bytes) -> bytes:
    if begun is None:
        return protection.hash_1(message_id, covered)
    if isinstance(begun, Initiated):
        return protection.hash_2(message_id, begun.nonce_i, covered)
    return protection.hash_3(message_id, begun.nonce_i, begun.nonce_r)


def _identity_proof(session: Ikev1Session, step: Step) -> bytes:
    """HASH_I or HASH_R over the identification that the message has (RFC 2409 §5)."""
    bodies = [row[2] for row in chains.split(step.first_type, step.body) or [] if row[0] == PayloadType.ID]
    try:
        identity = Identification.decode_body(bodies[0] if bodies else b"")
    except WireError:
        return UNPROVED
    proven = phase1._proven(session, identity, of_initiator=not session.initiator)
    return proven(session.protection.transform.authentication)
