# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A scripted IKEv2 peer that writes RFC 7296 octet by octet, right or wrong as a test wants it.

It shares no code with the daemon, so that an error that both ends of ours would make alike is still seen. It speaks one
suite: AES-256-CBC, HMAC-SHA2-256 as PRF and integrity, group 31; in Phase 2 AES-128-GCM.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import random
import struct
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

IKE_SA_INIT, IKE_AUTH, CREATE_CHILD_SA, INFORMATIONAL = 34, 35, 36, 37
SA, KE, IDI, IDR, AUTH, NONCE = 33, 34, 35, 36, 39, 40
NOTIFY, DELETE, VENDOR_ID, TSI, TSR, ENCRYPTED = 41, 42, 43, 44, 45, 46
IKE, AH, ESP = 1, 2, 3
ENCR, PRF, INTEG, DH, ESN = 1, 2, 3, 4, 5
NO_SPI = bytes(8)
X25519 = 31

UNSUPPORTED_CRITICAL_PAYLOAD, INVALID_IKE_SPI, INVALID_MAJOR_VERSION, INVALID_SYNTAX = 1, 4, 5, 7
NO_PROPOSAL_CHOSEN, INVALID_KE_PAYLOAD, AUTHENTICATION_FAILED, TS_UNACCEPTABLE = 14, 17, 24, 38
TEMPORARY_FAILURE, CHILD_SA_NOT_FOUND = 43, 44
INITIAL_CONTACT, NAT_SOURCE, NAT_DESTINATION = 16384, 16388, 16389
QUICK_CRASH_DETECTION = 16419
COOKIE, USE_TRANSPORT_MODE, REKEY_SA = 16390, 16391, 16393

_HEADER = struct.Struct(">8s8sBBBBII")
_ICV = 16
Transform = tuple[int, int, int | None]

SUITE: tuple[Transform, ...] = ((ENCR, 12, 256), (PRF, 5, None), (INTEG, 12, None), (DH, X25519, None))
CHILD_SUITE: tuple[Transform, ...] = ((ENCR, 20, 128), (ESN, 0, None))
PFS_SUITE: tuple[Transform, ...] = ((ENCR, 20, 128), (DH, X25519, None), (ESN, 0, None))


# ------------------------------------------------------------------------------------------------ octets of payloads

@dataclass(frozen=True, slots=True)
class Row:
    """One payload of a chain; ``reserved`` are the seven bits beside the critical one (§3.2)."""

    kind: int
    body: bytes = b""
    critical: bool = False
    reserved: int = 0


def proposal(transforms: tuple[Transform, ...] = SUITE, *, number: int = 1, protocol: int = IKE, spi: bytes = b"",
             last: bool = True, reserved: int = 0) -> bytes:
    """A proposal substructure (§3.3.1); ``reserved`` fills every RESERVED octet of it and of its transforms."""
    body = spi
    for place, (kind, identifier, bits) in enumerate(transforms, 1):
        attribute = b"" if bits is None else struct.pack(">HH", 0x800E, bits)
        body += struct.pack(">BBHBBH", 0 if place == len(transforms) else 3, reserved, 8 + len(attribute), kind,
                            reserved, identifier) + attribute
    return struct.pack(">BBHBBBB", 0 if last else 2, reserved, 8 + len(body), number, protocol, len(spi),
                       len(transforms)) + body


def sa(*proposals: bytes) -> Row:
    return Row(SA, b"".join(proposals or (proposal(),)))


def ke(public: bytes, group: int = X25519, reserved: int = 0) -> Row:
    return Row(KE, struct.pack(">HH", group, reserved) + public)


def nonce(data: bytes) -> Row:
    return Row(NONCE, data)


def notify(kind: int, data: bytes = b"", *, protocol: int = 0, spi: bytes = b"") -> Row:
    return Row(NOTIFY, struct.pack(">BBH", protocol, len(spi), kind) + spi + data)


def delete(protocol: int, *spis: bytes) -> Row:
    return Row(DELETE, struct.pack(">BBH", protocol, len(spis[0]) if spis else 0, len(spis)) + b"".join(spis))


def identity(kind: int, address: str, *, id_type: int = 1, reserved: bytes = bytes(3)) -> Row:
    """An ID payload: an address by default, else text."""
    data = ipaddress.ip_address(address).packed if id_type in (1, 5) else address.encode()
    return Row(kind, bytes([id_type]) + reserved + data)


def selectors(kind: int, *ranges: str, protocol: int = 0, ports: tuple[int, int] = (0, 65535),
              reserved: int = 0) -> Row:
    """A TS payload of ranges written as prefixes, or first-last."""
    body = b""
    for text in ranges:
        if "-" in text:
            first, last = (ipaddress.ip_address(end) for end in text.split("-"))
        else:
            network = ipaddress.ip_network(text)
            first, last = network[0], network[-1]
        octets = first.packed + last.packed
        body += struct.pack(">BBHHH", 7 if first.version == 4 else 8, protocol, 8 + len(octets), *ports) + octets
    return Row(kind, bytes([len(ranges)]) + bytes([reserved]) * 3 + body)


def chain(rows: list[Row] | tuple[Row, ...]) -> tuple[int, bytes]:
    """The first payload's type and the octets of all."""
    first, octets = 0, b""
    for row in reversed(rows):
        octets = struct.pack(">BBH", first, row.critical << 7 | row.reserved, 4 + len(row.body)) + row.body + octets
        first = row.kind
    return first, octets


# ------------------------------------------------------------------------------------------------ what comes back

@dataclass(frozen=True, slots=True)
class Notification:
    kind: int
    data: bytes
    protocol: int
    spi: bytes


@dataclass(frozen=True, slots=True)
class Message:
    """What a datagram says; ``rows`` are those inside the Encrypted payload where there is one."""

    spi_i: bytes
    spi_r: bytes
    version: int
    exchange: int
    flags: int
    message_id: int
    rows: tuple[Row, ...]
    encrypted: bool

    @property
    def is_response(self) -> bool:
        return bool(self.flags & 0x20)

    @property
    def from_initiator(self) -> bool:
        return bool(self.flags & 0x08)

    @property
    def kinds(self) -> list[int]:
        return [row.kind for row in self.rows]

    def body(self, kind: int) -> bytes:
        """The body of the only payload of that type."""
        (found,) = [row.body for row in self.rows if row.kind == kind]
        return found

    @property
    def notifications(self) -> list[Notification]:
        found = []
        for row in self.rows:
            if row.kind == NOTIFY:
                protocol, size, kind = struct.unpack_from(">BBH", row.body)
                found.append(Notification(kind, row.body[4 + size:], protocol, row.body[4:4 + size]))
        return found

    @property
    def notes(self) -> list[int]:
        return [row.kind for row in self.notifications]

    def note(self, kind: int) -> Notification:
        (found,) = [row for row in self.notifications if row.kind == kind]
        return found

    @property
    def deleted(self) -> list[tuple[int, tuple[bytes, ...]]]:
        """(protocol, SPIs) of every Delete payload."""
        found = []
        for row in self.rows:
            if row.kind == DELETE:
                protocol, size, count = struct.unpack_from(">BBH", row.body)
                found.append((protocol, tuple(row.body[4 + size * at:4 + size * (at + 1)] for at in range(count))))
        return found

    @property
    def proposals(self) -> list[tuple[int, int, bytes, list[Transform]]]:
        """(number, protocol, SPI, transforms) of every proposal of the SA payload."""
        body, found, at = self.body(SA), [], 0
        while at < len(body):
            _more, reserved, length, number, protocol, size, count = struct.unpack_from(">BBHBBBB", body, at)
            assert reserved == 0
            spi, inner, transforms = body[at + 8:at + 8 + size], at + 8 + size, []
            for _transform in range(count):
                _more, _reserved, own, kind, _reserved, identifier = struct.unpack_from(">BBHBBH", body, inner)
                bits = struct.unpack_from(">H", body, inner + 10)[0] if own > 8 else None
                transforms.append((kind, identifier, bits))
                inner += own
            assert inner == at + length
            found.append((number, protocol, spi, transforms))
            at += length
        return found

    def ranges(self, kind: int) -> list[str]:
        """The selectors of a TS payload as first-last."""
        body, found, at = self.body(kind), [], 4
        for _selector in range(body[0]):
            _type, _protocol, length = struct.unpack_from(">BBH", body, at)
            half = (length - 8) // 2
            first, last = (ipaddress.ip_address(body[at + 8 + half * end:at + 8 + half * (end + 1)])
                           for end in range(2))
            found.append(f"{first}-{last}")
            at += length
        return found


def parse_rows(kind: int, octets: bytes) -> tuple[Row, ...]:
    """A chain; an Encrypted payload ends it, with its Next Payload in the place of ``reserved``."""
    rows, at = [], 0
    while kind:
        following, flags, length = struct.unpack_from(">BBH", octets, at)
        assert flags & 0x7F == 0, "a RESERVED field that is not zero (§3.2)"
        rows.append(Row(kind, octets[at + 4:at + length], bool(flags & 0x80)))
        at += length
        if kind == ENCRYPTED:
            rows[-1] = Row(ENCRYPTED, rows[-1].body, False, following)
            break
        kind = following
    assert at == len(octets)
    return tuple(rows)


def parse(data: bytes) -> Message:
    """A message, its Encrypted payload still closed."""
    spi_i, spi_r, first, version, exchange, flags, message_id, length = _HEADER.unpack_from(data)
    assert length == len(data)
    return Message(spi_i, spi_r, version, exchange, flags, message_id, parse_rows(first, data[28:]), False)


# ------------------------------------------------------------------------------------------------ the peer

def prf(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")


def prf_plus(key: bytes, seed: bytes, size: int) -> bytes:
    block, material, number = b"", b"", 1
    while len(material) < size:
        block = prf(key, block + seed + bytes([number]))
        material, number = material + block, number + 1
    return material[:size]


@dataclass(slots=True)
class Keys:
    d: bytes
    ai: bytes
    ar: bytes
    ei: bytes
    er: bytes
    pi: bytes
    pr: bytes

    @classmethod
    def derive(cls, seed: bytes, nonces: bytes, spis: bytes) -> Keys:
        material = prf_plus(seed, nonces + spis, 7 * 32)
        return cls(*(material[at:at + 32] for at in range(0, 7 * 32, 32)))


@dataclass
class Peer:
    """One IKE SA as the tester holds it. ``initiator`` says whether the tester initiated that IKE SA."""

    initiator: bool
    psk: bytes
    local: str
    remote: str
    seed: int = 0
    spi_i: bytes = NO_SPI
    spi_r: bytes = NO_SPI
    nonce_i: bytes = b""
    nonce_r: bytes = b""
    keys: Keys | None = None
    #: Message identifier of the tester's next request.
    next_id: int = 0
    init_request_octets: bytes = b""
    init_response_octets: bytes = b""
    private: X25519PrivateKey = field(default_factory=X25519PrivateKey.generate)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        if self.initiator:
            self.spi_i, self.nonce_i = self.random.randbytes(8), self.random.randbytes(32)
        else:
            self.spi_r, self.nonce_r = self.random.randbytes(8), self.random.randbytes(32)

    @property
    def public(self) -> bytes:
        return self.private.public_key().public_bytes_raw()

    # -------------------------------------------------------------------------------- octets of messages

    def header(self, exchange: int, first: int, size: int, *, response: bool, message_id: int, version: int = 0x20,
               flags: int | None = None, extra_flags: int = 0, spi_i: bytes | None = None, spi_r: bytes | None = None,
               length: int | None = None) -> bytes:
        if flags is None:
            flags = (0x08 if self.initiator else 0) | (0x20 if response else 0) | extra_flags
        return _HEADER.pack(self.spi_i if spi_i is None else spi_i, self.spi_r if spi_r is None else spi_r, first,
                            version, exchange, flags, message_id, 28 + size if length is None else length)

    def clear(self, exchange: int, rows: list[Row] | tuple[Row, ...], *, response: bool = False, message_id: int = 0,
              **changes: Any) -> bytes:
        """A message without protection; ``changes`` are fields of the header."""
        first, octets = chain(rows)
        return self.header(exchange, first, len(octets), response=response, message_id=message_id, **changes) + octets

    def seal(self, exchange: int, rows: list[Row] | tuple[Row, ...] = (), *, response: bool = False,
             message_id: int | None = None, before: list[Row] | tuple[Row, ...] = (), padding: bytes | None = None,
             pad_length: int | None = None, first: int | None = None, plaintext: bytes | None = None,
             spoil: int | None = None, critical: bool = False, reserved: int = 0, **changes: Any) -> bytes:
        """A protected message. ``message_id`` is the tester's next where none is given, which it uses up.

        ``before`` stands in clear before the Encrypted payload; ``padding`` and ``pad_length`` replace the right ones,
        ``first`` and ``plaintext`` what is inside; ``spoil`` flips that octet of the whole message.
        """
        assert self.keys is not None
        if message_id is None:
            message_id, self.next_id = self.next_id, self.next_id + 1
        inner, octets = chain(rows)
        octets, inner = octets if plaintext is None else plaintext, inner if first is None else first
        if padding is None:
            padding = bytes(-(len(octets) + 1) % 16)
        octets += padding + bytes([len(padding) if pad_length is None else pad_length])
        iv = self.random.randbytes(16)
        cipher, integrity = ((self.keys.ei, self.keys.ai) if self.initiator else (self.keys.er, self.keys.ar))
        encryptor = Cipher(algorithms.AES(cipher), modes.CBC(iv)).encryptor()
        body = iv + encryptor.update(octets) + encryptor.finalize()
        outer, ahead = chain([*before, Row(ENCRYPTED)])
        ahead = ahead[:-4] + struct.pack(">BBH", inner, critical << 7 | reserved, 4 + len(body) + _ICV)
        prefix = self.header(exchange, outer, len(ahead) + len(body) + _ICV, response=response, message_id=message_id,
                             **changes) + ahead
        data = prefix + body + prf(integrity, prefix + body)[:_ICV]
        if spoil is not None:
            spoiled = bytearray(data)
            spoiled[spoil] ^= 0x01
            data = bytes(spoiled)
        return data

    def open(self, data: bytes) -> Message:
        """A message of the other end's, which has to be authentic and well padded."""
        message = parse(data)
        if message.kinds != [ENCRYPTED]:
            return message
        assert self.keys is not None
        cipher, integrity = ((self.keys.er, self.keys.ar) if self.initiator else (self.keys.ei, self.keys.ai))
        assert hmac.compare_digest(prf(integrity, data[:-_ICV])[:_ICV], data[-_ICV:])
        (row,) = message.rows
        body = row.body[:-_ICV]
        decryptor = Cipher(algorithms.AES(cipher), modes.CBC(body[:16])).decryptor()
        plain = decryptor.update(body[16:]) + decryptor.finalize()
        inner = plain[:len(plain) - 1 - plain[-1]]
        return Message(message.spi_i, message.spi_r, message.version, message.exchange, message.flags,
                       message.message_id, parse_rows(row.reserved, inner), True)

    # -------------------------------------------------------------------------------- IKE_SA_INIT

    def init_rows(self) -> list[Row]:
        return [sa(), ke(self.public), nonce(self.nonce_i if self.initiator else self.nonce_r)]

    def nat_rows(self, *, own_port: int = 500, other_port: int = 500, behind_nat: bool = False) -> list[Row]:
        """NAT detection (§2.23); ``behind_nat`` makes the source hash one of another address."""
        def digest(address: str, port: int) -> bytes:
            octets = self.spi_i + self.spi_r + ipaddress.ip_address(address).packed + port.to_bytes(2, "big")
            return hashlib.sha1(octets, usedforsecurity=False).digest()

        return [notify(NAT_SOURCE, digest("10.9.8.7" if behind_nat else self.local, own_port)),
                notify(NAT_DESTINATION, digest(self.remote, other_port))]

    def init_request(self, rows: list[Row] | None = None, **changes: Any) -> bytes:
        self.init_request_octets = self.clear(IKE_SA_INIT, self.init_rows() if rows is None else rows, **changes)
        return self.init_request_octets

    def take_init_response(self, data: bytes) -> Message:
        message = parse(data)
        self.init_response_octets = data
        self.spi_r, self.nonce_r = message.spi_r, message.body(NONCE)
        self._agree(message.body(KE)[4:])
        self.next_id = 1
        return message

    def take_init_request(self, data: bytes) -> Message:
        message = parse(data)
        self.init_request_octets = data
        self.spi_i, self.nonce_i = message.spi_i, message.body(NONCE)
        self._agree(message.body(KE)[4:])
        return message

    def init_response(self, rows: list[Row] | None = None, **changes: Any) -> bytes:
        """The answer to the request that was taken last."""
        self.init_response_octets = self.clear(IKE_SA_INIT, self.init_rows() if rows is None else rows, response=True,
                                               **changes)
        return self.init_response_octets

    def _agree(self, theirs: bytes) -> None:
        shared = self.private.exchange(X25519PublicKey.from_public_bytes(theirs))
        nonces = self.nonce_i + self.nonce_r
        self.keys = Keys.derive(prf(nonces, shared), nonces, self.spi_i + self.spi_r)

    # -------------------------------------------------------------------------------- IKE_AUTH

    def proof(self, own: Row, *, psk: bytes | None = None, method: int = 2) -> Row:
        """AUTH by the pre-shared key (§2.15)."""
        assert self.keys is not None
        octets, other_nonce, key = ((self.init_request_octets, self.nonce_r, self.keys.pi) if self.initiator
                                    else (self.init_response_octets, self.nonce_i, self.keys.pr))
        pad = prf(self.psk if psk is None else psk, b"Key Pad for IKEv2")
        return Row(AUTH, bytes([method, 0, 0, 0]) + prf(pad, octets + other_nonce + prf(key, own.body)))

    def proves_itself(self, message: Message) -> bool:
        """Whether the other end's AUTH is that of the key."""
        assert self.keys is not None
        octets, own_nonce, key = ((self.init_response_octets, self.nonce_i, self.keys.pr) if self.initiator
                                  else (self.init_request_octets, self.nonce_r, self.keys.pi))
        named = message.body(IDR if self.initiator else IDI)
        expected = prf(prf(self.psk, b"Key Pad for IKEv2"), octets + own_nonce + prf(key, named))
        return message.body(AUTH) == bytes([2, 0, 0, 0]) + expected

    def child_rows(self, spi: bytes, here: str, there: str, transforms: tuple[Transform, ...] = CHILD_SUITE, *,
                   asking: bool | None = None) -> list[Row]:
        """SA, TSi, TSr for the tester's network ``here`` and the other end's ``there``; ``asking`` is whether the
        tester initiates this exchange, by default whether it initiated the IKE SA."""
        asking = self.initiator if asking is None else asking
        first, last = (here, there) if asking else (there, here)
        return [sa(proposal(transforms, protocol=ESP, spi=spi)), selectors(TSI, first), selectors(TSR, last)]

    def auth_rows(self, child: list[Row]) -> list[Row]:
        own = identity(IDI if self.initiator else IDR, self.local)
        return [own, self.proof(own), *child]

    # -------------------------------------------------------------------------------- later

    def child_keys(self, nonce_i: bytes, nonce_r: bytes, shared: bytes = b"", size: int = 20) -> tuple[bytes, bytes]:
        """Keying material of a child SA (§2.17), initiator to responder first."""
        assert self.keys is not None
        material = prf_plus(self.keys.d, shared + nonce_i + nonce_r, 2 * size)
        return material[:size], material[size:]

    def shared_secret(self, message: Message) -> bytes:
        """With the key exchange of that message, under the tester's own key pair."""
        return self.private.exchange(X25519PublicKey.from_public_bytes(message.body(KE)[4:]))

    def successor(self, *, initiator: bool, spi_i: bytes, spi_r: bytes, nonce_i: bytes, nonce_r: bytes,
                  shared: bytes) -> Peer:
        """The IKE SA that a rekey makes of this one (§2.18); ``initiator`` is whether the tester began the rekey."""
        assert self.keys is not None
        new = Peer(initiator, self.psk, self.local, self.remote, self.random.randrange(2**32))
        new.spi_i, new.spi_r, new.nonce_i, new.nonce_r = spi_i, spi_r, nonce_i, nonce_r
        new.keys = Keys.derive(prf(self.keys.d, shared + nonce_i + nonce_r), nonce_i + nonce_r, spi_i + spi_r)
        return new
