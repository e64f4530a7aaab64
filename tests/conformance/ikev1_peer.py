# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A scripted IKEv1 peer that writes RFC 2408 and RFC 2409 octet by octet, right or wrong as a test wants it.

It shares no code with the daemon. It speaks one suite: pre-shared key, AES-256-CBC, SHA2-256, group 14; in Phase 2
ESP with AES-256-CBC and HMAC-SHA2-256, with group 14 for PFS.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import random
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from tests.conformance.peer import NO_SPI, Row, prf

SA, KE, ID, HASH, NONCE, NOTIFY, DELETE, VENDOR_ID, NAT_D = 1, 4, 5, 8, 10, 11, 12, 13, 20
MAIN, AGGRESSIVE, INFORMATIONAL, QUICK = 2, 4, 5, 32
ISAKMP, AH, ESP = 1, 2, 3
ENCRYPTION, COMMIT = 0x01, 0x02

NO_PROPOSAL_CHOSEN, PAYLOAD_MALFORMED, INVALID_KEY_INFORMATION, INVALID_ID_INFORMATION = 14, 16, 17, 18
AUTHENTICATION_FAILED, UNSUPPORTED_EXCHANGE_TYPE = 24, 29
RESPONDER_LIFETIME, INITIAL_CONTACT, ARE_YOU_THERE, I_AM_HERE = 24576, 24578, 36136, 36137

PRIME = int(json.loads((Path(__file__).parents[1] / "vectors" / "modp_primes.json").read_text())["primes"]["14"], 16)
PUBLIC_SIZE = 256

_HEADER = struct.Struct(">8s8sBBBBII")
#: (type, value), all of the short form (RFC 2408 §3.3).
Attributes = tuple[tuple[int, int], ...]
PHASE_1: Attributes = ((1, 7), (14, 256), (2, 4), (3, 1), (4, 14), (11, 1), (12, 28800))
PHASE_2: Attributes = ((1, 1), (2, 28800), (3, 14), (4, 1), (5, 5), (6, 256))


# ------------------------------------------------------------------------------------------------ octets of payloads

def transforms(*suites: Attributes, identifier: int, reserved: int = 0) -> bytes:
    """A transform for each suite (RFC 2408 §3.6), numbered from 1."""
    octets = b""
    for number, suite in enumerate(suites, 1):
        body = b"".join(struct.pack(">HH", 0x8000 | kind, value) for kind, value in suite)
        octets += struct.pack(">BBHBBH", 0 if number == len(suites) else 3, reserved, 8 + len(body), number, identifier,
                              reserved) + body
    return octets


def sa(*suites: Attributes, protocol: int = ISAKMP, spi: bytes = b"", identifier: int | None = None, doi: int = 1,
       situation: int = 1, reserved: int = 0) -> Row:
    """An SA payload of one proposal; Phase 1's unless ``protocol`` says another."""
    if identifier is None:
        identifier = 1 if protocol == ISAKMP else 12
    suites = suites or ((PHASE_1,) if protocol == ISAKMP else (PHASE_2,))
    body = spi + transforms(*suites, identifier=identifier, reserved=reserved)
    offered = struct.pack(">BBHBBBB", 0, reserved, 8 + len(body), 1, protocol, len(spi), len(suites)) + body
    return Row(SA, struct.pack(">II", doi, situation) + offered)


def identity(address: str, *, id_type: int = 1, protocol: int = 17, port: int = 500) -> Row:
    """Phase 1's: an address by default, else text."""
    data = ipaddress.ip_address(address).packed if id_type == 1 else address.encode()
    return Row(ID, struct.pack(">BBH", id_type, protocol, port) + data)


def network(prefix: str) -> Row:
    """Phase 2's: a subnet (RFC 2407 §4.6.2.1)."""
    row = ipaddress.ip_network(prefix)
    return Row(ID, struct.pack(">BBH", 4, 0, 0) + row.network_address.packed + row.netmask.packed)


def notify(kind: int, data: bytes = b"", *, protocol: int = ISAKMP, spi: bytes = b"", doi: int = 1) -> Row:
    return Row(NOTIFY, struct.pack(">IBBH", doi, protocol, len(spi), kind) + spi + data)


def delete(protocol: int, *spis: bytes, doi: int = 1) -> Row:
    return Row(DELETE, struct.pack(">IBBH", doi, protocol, len(spis[0]), len(spis)) + b"".join(spis))


def chain(rows: list[Row] | tuple[Row, ...]) -> tuple[int, bytes]:
    """The first payload's type and the octets of all (RFC 2408 §3.2); RESERVED is all of the second octet."""
    first, octets = 0, b""
    for row in reversed(rows):
        octets = struct.pack(">BBH", first, row.reserved, 4 + len(row.body)) + row.body + octets
        first = row.kind
    return first, octets


# ------------------------------------------------------------------------------------------------ what comes back

@dataclass(frozen=True, slots=True)
class Message:
    """What a datagram says; ``octets`` are those of ``rows``."""

    cookie_i: bytes
    cookie_r: bytes
    version: int
    exchange: int
    flags: int
    message_id: int
    rows: tuple[Row, ...]
    octets: bytes

    @property
    def kinds(self) -> list[int]:
        return [row.kind for row in self.rows]

    def body(self, kind: int) -> bytes:
        """The body of the only payload of that type."""
        (found,) = [row.body for row in self.rows if row.kind == kind]
        return found

    @property
    def notes(self) -> list[int]:
        return [int.from_bytes(row.body[6:8], "big") for row in self.rows if row.kind == NOTIFY]

    @property
    def deleted(self) -> list[tuple[int, tuple[bytes, ...]]]:
        """(protocol, SPIs) of every Delete payload."""
        found = []
        for row in self.rows:
            if row.kind == DELETE:
                _doi, protocol, size, count = struct.unpack_from(">IBBH", row.body)
                found.append((protocol, tuple(row.body[8 + size * at:8 + size * (at + 1)] for at in range(count))))
        return found

    @property
    def chosen(self) -> tuple[bytes, Attributes]:
        """The SPI, and the attributes of the only transform, of the SA payload."""
        body = self.body(SA)
        size, count = body[14], body[15]
        assert count == 1
        at, found = 16 + size + 8, []
        while at < len(body):
            kind, value = struct.unpack_from(">HH", body, at)
            at += 4
            if not kind & 0x8000:
                value, at = int.from_bytes(body[at:at + value], "big"), at + value
            found.append((kind & 0x7FFF, value))
        return body[16:16 + size], tuple(found)


def parse_rows(kind: int, octets: bytes) -> tuple[tuple[Row, ...], int]:
    """A chain, and where it ends."""
    rows, at = [], 0
    while kind:
        following, reserved, length = struct.unpack_from(">BBH", octets, at)
        assert reserved == 0 and length >= 4, "a RESERVED field that is not zero, or a length that is none"
        rows.append(Row(kind, octets[at + 4:at + length]))
        kind, at = following, at + length
    assert at <= len(octets)
    return tuple(rows), at


def parse(data: bytes) -> Message:
    """A message in clear, or an encrypted one without its payloads."""
    cookie_i, cookie_r, first, version, exchange, flags, message_id, length = _HEADER.unpack_from(data)
    assert length == len(data)
    rows, end = ((), 0) if flags & ENCRYPTION else parse_rows(first, data[28:])
    return Message(cookie_i, cookie_r, version, exchange, flags, message_id, rows, data[28:28 + end])


# ------------------------------------------------------------------------------------------------ the peer

class Peer:
    """One ISAKMP SA as the tester holds it. ``initiator`` says whether the tester initiated it."""

    def __init__(self, *, initiator: bool, psk: bytes, local: str, remote: str, seed: int = 1) -> None:
        self.initiator, self.psk, self.local, self.remote = initiator, psk, local, remote
        self.random = random.Random(seed)
        self.cookie_i = self.random.randbytes(8) if initiator else NO_SPI
        self.cookie_r = NO_SPI if initiator else self.random.randbytes(8)
        self.nonce = self.random.randbytes(32)
        self.private = self.random.randrange(2, 2**256)
        self.sa_body = b""
        self.their_nonce = self.their_public = b""
        self.skeyid = self.skeyid_d = self.skeyid_a = self.key = b""
        #: The next IV of Phase 1; when that is over, what the IVs of Phase 2 come from.
        self.iv = b""
        #: The next IV of each exchange of Phase 2.
        self.ivs: dict[int, bytes] = {}

    @property
    def public(self) -> bytes:
        return pow(2, self.private, PRIME).to_bytes(PUBLIC_SIZE, "big")

    def shared(self, theirs: bytes) -> bytes:
        return pow(int.from_bytes(theirs, "big"), self.private, PRIME).to_bytes(PUBLIC_SIZE, "big")

    @property
    def cookies(self) -> bytes:
        return self.cookie_i + self.cookie_r

    # -------------------------------------------------------------------------------- octets of messages

    def header(self, exchange: int, first: int, size: int, *, flags: int = 0, message_id: int = 0,
               version: int = 0x10, cookie_i: bytes | None = None, cookie_r: bytes | None = None) -> bytes:
        return _HEADER.pack(self.cookie_i if cookie_i is None else cookie_i,
                            self.cookie_r if cookie_r is None else cookie_r, first, version, exchange, flags,
                            message_id, 28 + size)

    def clear(self, exchange: int, rows: list[Row] | tuple[Row, ...], **changes: Any) -> bytes:
        first, octets = chain(rows)
        return self.header(exchange, first, len(octets), **changes) + octets

    def encrypted(self, exchange: int, rows: list[Row] | tuple[Row, ...], *, message_id: int = 0, flags: int = 0,
                  keep: bool = True, key: bytes | None = None, **changes: Any) -> bytes:
        """A message under the IV that is due; ``keep`` makes it the one that the next IV comes from."""
        first, octets = chain(rows)
        octets += bytes(-len(octets) % 16)
        encryptor = Cipher(algorithms.AES(key or self.key), modes.CBC(self._iv(message_id))).encryptor()
        body = encryptor.update(octets) + encryptor.finalize()
        if keep:
            self._take_iv(message_id, body[-16:])
        flags |= ENCRYPTION
        return self.header(exchange, first, len(body), message_id=message_id, flags=flags, **changes) + body

    def open(self, data: bytes) -> Message:
        """A message of the daemon's; an encrypted one is the next of its exchange."""
        message = parse(data)
        if not message.flags & ENCRYPTION:
            return message
        decryptor = Cipher(algorithms.AES(self.key), modes.CBC(self._iv(message.message_id))).decryptor()
        plain = decryptor.update(data[28:]) + decryptor.finalize()
        self._take_iv(message.message_id, data[-16:])
        rows, end = parse_rows(data[16], plain)
        assert not any(plain[end:]) and len(plain) - end < 16, "padding"
        return Message(message.cookie_i, message.cookie_r, message.version, message.exchange, message.flags,
                       message.message_id, rows, plain[:end])

    def _iv(self, message_id: int) -> bytes:
        if not message_id:
            return self.iv
        return self.ivs.get(message_id) or hashlib.sha256(self.iv + message_id.to_bytes(4, "big")).digest()[:16]

    def _take_iv(self, message_id: int, iv: bytes) -> None:
        if message_id:
            self.ivs[message_id] = iv
        else:
            self.iv = iv

    # -------------------------------------------------------------------------------- Phase 1

    def derive(self) -> None:
        """All keys (RFC 2409 §5), once both public values and nonces are known."""
        nonces = self.nonce + self.their_nonce if self.initiator else self.their_nonce + self.nonce
        publics = self.public + self.their_public if self.initiator else self.their_public + self.public
        shared = self.shared(self.their_public)
        self.skeyid = prf(self.psk, nonces)
        self.skeyid_d = prf(self.skeyid, shared + self.cookies + b"\x00")
        self.skeyid_a = prf(self.skeyid, self.skeyid_d + shared + self.cookies + b"\x01")
        self.key = prf(self.skeyid, self.skeyid_a + shared + self.cookies + b"\x02")
        self.iv = hashlib.sha256(publics).digest()[:16]

    def take_key_exchange(self, message: Message) -> None:
        self.their_public, self.their_nonce = message.body(KE), message.body(NONCE)
        self.derive()

    def proof(self, identity_body: bytes, *, own: bool = True) -> bytes:
        """HASH_I or HASH_R (RFC 2409 §5): the tester's own, or what the daemon's has to be."""
        publics, cookies = (self.public, self.their_public), (self.cookie_i, self.cookie_r)
        if not own:
            publics = publics[::-1]
        if self.initiator is not own:
            cookies = cookies[::-1]
        return prf(self.skeyid, b"".join((*publics, *cookies, self.sa_body, identity_body)))

    def identity_rows(self) -> list[Row]:
        own = identity(self.local)
        return [own, Row(HASH, self.proof(own.body))]

    def key_exchange_rows(self) -> list[Row]:
        return [Row(KE, self.public), Row(NONCE, self.nonce)]

    # -------------------------------------------------------------------------------- Phase 2

    def behind_hash(self, exchange: int, rows: list[Row] | tuple[Row, ...], message_id: int, *, nonce: bytes = b"",
                    spoil: bool = False, **changes: Any) -> bytes:
        """A message whose HASH payload covers all that follows: HASH(1), or HASH(2) with the initiator's ``nonce``."""
        proof = prf(self.skeyid_a, message_id.to_bytes(4, "big") + nonce + chain(rows)[1])
        if spoil:
            proof = bytes([proof[0] ^ 1]) + proof[1:]
        return self.encrypted(exchange, [Row(HASH, proof), *rows], message_id=message_id, **changes)

    def is_behind_hash(self, message: Message, nonce: bytes = b"") -> bool:
        """Whether the daemon's message has the HASH payload that it has to have."""
        covered = message.octets[4 + len(message.rows[0].body):]
        return message.rows[0] == Row(HASH, prf(self.skeyid_a, message.message_id.to_bytes(4, "big") + nonce + covered))

    def confirmation(self, message_id: int, nonce_i: bytes, nonce_r: bytes, **changes: Any) -> bytes:
        """Message 3 of Quick Mode: HASH(3)."""
        proof = prf(self.skeyid_a, b"\x00" + message_id.to_bytes(4, "big") + nonce_i + nonce_r)
        return self.encrypted(QUICK, [Row(HASH, proof)], message_id=message_id, **changes)

    def child_key(self, spi: bytes, nonce_i: bytes, nonce_r: bytes, shared: bytes = b"") -> bytes:
        """AES-256 and HMAC-SHA2-256 keys of the direction that bears the SPI (RFC 2409 §5.5): 64 octets."""
        seed, block, material = shared + bytes([ESP]) + spi + nonce_i + nonce_r, b"", b""
        while len(material) < 64:
            block = prf(self.skeyid_d, block + seed)
            material += block
        return material
