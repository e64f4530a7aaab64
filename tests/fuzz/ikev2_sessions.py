# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Live IKEv2 sessions under the fire of a peer that has the keys: what it says is authentic, and may be anything.

An input is a scenario - which end is attacked, with which suite, and how far its handshake has come - and steps. Where
a message has an AUTH payload of `UNPROVED`, it gets the proof that the pre-shared key gives.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

from ikeengine.crypto.authentication import psk_auth, signed_octets
from ikeengine.crypto.errors import CryptoError
from ikeengine.crypto.ike_cipher import IkeCipher
from ikeengine.ike.context import Settings
from ikeengine.ike.state import NO_SPI, State
from ikeengine.ikev2.session import Ikev2Session
from ikeengine.sa_manager import IkeSaManager
from ikeengine.security_association import Datagram, SocketAddress
from ikeengine.wire.constants import ExchangeType, HeaderFlag, PayloadType
from ikeengine.wire.header import HEADER_SIZE, Header
from ikeengine.wire.message import encode_encrypted_prefix, encode_fragment_prefix

from tests.support.virtual_network import PSK, branch, hq

from . import chains, steps
from .feed import Feed
from .recording import BEGINNING, Recording, record
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
_MOST_SESSIONS = 16
_MOST_ANSWERS = 64
_WHILE = 300.0  # seconds in which all retransmissions and grace times end
_TIME_PASSES = 0x80
_A_CHILD = 0xC0000001

ORDERS: tuple[Callable[[IkeSaManager, float], object], ...] = (
    lambda manager, now: manager.rekey_ike("peer", now),
    lambda manager, now: manager.rekey_child("lan", now),
    lambda manager, now: manager.initiate("peer", now),
    lambda manager, now: manager.terminate("peer", now, "lan"),
    lambda manager, now: manager.terminate("peer", now),
    lambda manager, now: manager.expire(_A_CHILD, now, hard=False),
    lambda manager, now: manager.expire(_A_CHILD, now, hard=True),
    lambda manager, now: manager.fail_child(_A_CHILD, "no reason", now),
)


def attack(data: bytes) -> None:
    """One input, on an end of its own. Raises whatever the end raises, which must be nothing."""
    feed = Feed(data)
    scenario = feed.octet()
    suite = scenario & HYBRID or scenario & CBC
    recording = recorded(bool(scenario & INITIATOR), suite, bool(scenario & COOKIES))
    manager = recording.replay((scenario & STAGE) // STAGE_STEP)
    attacker = _Attacker(manager, recording, 4500 if scenario & OTHER_PORT else 500)
    for step in steps.read(feed):
        attacker.act(step)
    attacker.end()


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


class _Attacker:
    def __init__(self, manager: IkeSaManager, recording: Recording, port: int) -> None:
        self._manager = manager
        self._initiator = recording.initiates
        self._local = SocketAddress(recording.local.address, port)
        self._remote = SocketAddress(recording.remote.address, port)
        self._now = BEGINNING + 1

    def act(self, step: Step) -> None:
        if step.kind is Kind.DATAGRAM:
            self._say(step.body)
        elif step.kind is Kind.ORDER:
            self._order(step.first_type)
        else:
            sessions = list(self._manager._by_spi.values())
            session = sessions[0 if step.oldest else -1] if sessions else None
            exchange = EXCHANGES[step.exchange] if step.exchange < len(EXCHANGES) else step.exchange
            if step.kind is Kind.CLEAR:
                self._say_in_clear(step, exchange, session)
            elif isinstance(session, Ikev2Session) and session.state is not State.INITIATING:
                self._say_sealed(step, exchange, session)
        self._settle()

    def end(self) -> None:
        """Look at what is left, and let time run out for it."""
        self._manager.gateways()
        self._manager.tunnels()
        self._now += _WHILE
        self._manager.handle_timer(self._now)
        self._settle()

    def _settle(self) -> None:
        manager = self._manager
        manager.events()
        manager.next_timer()
        assert len(manager.datagrams_to_send()) <= _MOST_ANSWERS
        assert len(manager._by_spi) <= _MOST_SESSIONS

    def _order(self, octet: int) -> None:
        if octet & _TIME_PASSES:
            self._now += (octet - _TIME_PASSES) ** 2 / 4
            self._manager.handle_timer(self._now)
        else:
            with suppress(LookupError):  # orders raise it where there is no such SA any more
                ORDERS[octet % len(ORDERS)](self._manager, self._now)

    def _say_in_clear(self, step: Step, exchange: int, session: object) -> None:
        spi_i, spi_r = b"\x01" * 8, NO_SPI
        if isinstance(session, Ikev2Session):
            spi_i, spi_r = session.spi_i, session.spi_r
        if self._initiator and spi_r == NO_SPI:
            spi_r = b"\x02" * 8
        flags = step.other or (HeaderFlag.RESPONSE if self._initiator else HeaderFlag.INITIATOR)
        header = Header(spi_i, spi_r, step.first_type, exchange, flags, 0, HEADER_SIZE + len(step.body))
        self._say(header.encode() + step.body)

    def _say_sealed(self, step: Step, exchange: int, session: Ikev2Session) -> None:
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
        self._say(cipher.seal(prefix, body))

    def _say(self, data: bytes) -> None:
        self._manager.receive(Datagram(self._local, self._remote, data), self._now)


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
