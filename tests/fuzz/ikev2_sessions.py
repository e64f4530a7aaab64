# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Live IKEv2 sessions under the fire of a peer that has the keys: what it says is authentic, and may be anything.

An input is a scenario - which end is attacked, with which suite, and how far its handshake has come - and steps. Where
a message has an AUTH payload of `UNPROVED`, it gets the proof that the pre-shared key gives.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from ikeengine.crypto.authentication import psk_auth, signed_octets
from ikeengine.crypto.errors import CryptoError
from ikeengine.crypto.ike_cipher import IkeCipher
from ikeengine.ike.context import Settings
from ikeengine.ike.session import IkeSession
from ikeengine.ike.state import State
from ikeengine.ikev2.session import Ikev2Session
from ikeengine.wire.constants import ExchangeType, HeaderFlag, PayloadType
from ikeengine.wire.message import encode_encrypted_prefix, encode_fragment_prefix

from tests.support.virtual_network import PSK, branch, hq

from . import chains
from .attacker import Attacker
from .feed import Feed
from .recording import Recording, record
from .steps import Kind, Step

#: A scenario: whether the end that initiates is attacked, which suite it has, how many datagrams of its honest peer it
#: has heard before, whether cookies are asked for, and whether the hostile peer comes from port 4500.
INITIATOR, CBC, STAGE, COOKIES, HYBRID, OTHER_PORT = 0x01, 0x02, 0x1C, 0x20, 0x40, 0x80
STAGE_STEP = 0x04

UNPROVED = bytes([2, 0, 0, 0]) + bytes(32)
"""The body of an AUTH payload that is to be right."""
EXCHANGES = tuple(ExchangeType)
_GCM: dict[str, object] = {"name": "p1", "authentication": "SHA2-256", "encryption": "AES-GCM-128", "key_group": 31}
_OTHER = {"name": "p1b", "authentication": "SHA2-512", "encryption": "AES-256", "key_group": 19}
#: Phase 1 and PFS.
_SUITES: dict[int, tuple[tuple[dict[str, object], ...], dict[str, object]]] = {
    0: ((_GCM, _OTHER), {"enabled": True, "key_group": 31}),
    CBC: (({**_GCM, "encryption": "AES-128"},), {"enabled": True, "key_group": 31}),
    HYBRID: (({**_GCM, "additional_key_exchange": "ML-KEM-768"},),
             {"enabled": True, "key_group": 31, "additional_key_exchange": "ML-KEM-768"}),
}
_ROUTES = (("10.1.0.0/24", "10.2.0.0/24"), ("10.1.1.0/24", "10.2.1.7"))


def attack(data: bytes) -> None:
    """One input, on an end of its own. Raises whatever the end raises, which must be nothing."""
    feed = Feed(data)
    scenario = feed.octet()
    suite = scenario & HYBRID or scenario & CBC
    recording = recorded(bool(scenario & INITIATOR), suite, bool(scenario & COOKIES))
    _Attacker(recording, (scenario & STAGE) // STAGE_STEP, 4500 if scenario & OTHER_PORT else 500).run(feed)


def options(suite: int) -> dict[str, Any]:
    """Of both ends' declarations."""
    transforms, pfs = _SUITES[suite]
    return {"transforms": transforms, "pfs": pfs, "routes": _ROUTES, "tunnels": 2}


@cache
def recorded(initiator: bool, suite: int, cookies: bool) -> Recording:
    """``initiator`` is whether the end that initiates is the one under attack."""
    ends = (make(start="answer", **options(suite)) for make in (hq, branch))
    settings = Settings(cookie_threshold=0) if cookies else Settings()
    return record(*ends, attacked=0 if initiator else 1, settings=settings)


class _Attacker(Attacker):
    major = 2
    exchanges = EXCHANGES

    @property
    def flags_in_clear(self) -> int:
        return HeaderFlag.RESPONSE if self.against_initiator else HeaderFlag.INITIATOR

    def say_sealed(self, step: Step, exchange: int, session: IkeSession) -> None:
        if not isinstance(session, Ikev2Session) or session.state is State.INITIATING:
            return
        try:
            keys, transform = session.protection.keys, session.protection.transform
        except CryptoError:  # its first message had a public value that is none
            return
        key_encryption, key_integrity = (keys.sk_er, keys.sk_ar) if session.initiator else (keys.sk_ei, keys.sk_ai)
        integrity = None if transform.encryption.aead else transform.authentication
        cipher = IkeCipher(transform.encryption, integrity, key_encryption, key_integrity)
        response, outstanding = step.kind is Kind.RESPONSE, session.requests.outstanding
        awaited = session._expected_request if not response else outstanding.message_id if outstanding else 0
        flags = (0 if session.initiator else HeaderFlag.INITIATOR) | (HeaderFlag.RESPONSE if response else 0)
        body = _proved(session, step.first_type, step.body) if exchange == ExchangeType.IKE_AUTH else step.body
        size = cipher.overhead(len(body))
        if step.fragment is None:
            prefix = encode_encrypted_prefix(
                spi_i=session.spi_i, spi_r=session.spi_r, exchange=exchange, flags=flags,
                message_id=awaited ^ step.other, first_payload=step.first_type, body_size=size)
        else:
            number, total = step.fragment
            prefix = encode_fragment_prefix(
                spi_i=session.spi_i, spi_r=session.spi_r, exchange=exchange, flags=flags,
                message_id=awaited ^ step.other, first_payload=step.first_type, body_size=size, number=number,
                total=total)
        self.say(cipher.seal(prefix, body))


def _proved(session: Ikev2Session, first_type: int, data: bytes) -> bytes:
    """The chain with the proof of whoever is not ``session`` (RFC 7296 §2.15)."""
    payloads = chains.split(first_type, data)
    if payloads is None or not any(row[2] == UNPROVED for row in payloads):
        return data
    keys, prf = session.protection.keys, session.protection.prf
    message, nonce, key, kind = (
        (session.init_response, session.nonce_i, keys.sk_pr, PayloadType.ID_R) if session.initiator
        else (session.init_request, session.nonce_r, keys.sk_pi, PayloadType.ID_I))
    identity = next((row[2] for row in payloads if row[0] == kind), b"")
    proof = UNPROVED[:4] + psk_auth(prf, PSK.encode(), signed_octets(prf, message, nonce, key, identity))
    return chains.joined([(*row[:2], proof if row[2] == UNPROVED else row[2]) for row in payloads])[1]
