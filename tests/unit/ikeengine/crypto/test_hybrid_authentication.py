# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""strongSwan 6's own proof over a hybrid key exchange in fragments with a PPK: from secrets and datagrams to AUTH
(RFC 7383, RFC 9242 §3.3.2, RFC 9370 §2.2.2, RFC 8784 §3)."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from ikeengine.crypto.authentication import IntAuth, psk_auth, signed_octets
from ikeengine.crypto.ike_cipher import IkeCipher
from ikeengine.crypto.key_derivation import IkeKeys, ike_keys, rekeyed_skeyseed, skeyseed, with_ppk
from ikeengine.vpn.algorithms import authentication, encryption
from ikeengine.wire.message import decode_message, without_encryption

DATA = json.loads((Path(__file__).parents[4] / "tests/vectors/hybrid_strongswan6.json").read_text())
OCTETS = SimpleNamespace(**{name: bytes.fromhex(value) for name, value in DATA.items()
                            if isinstance(value, str) and name not in ("source", "encryption", "authentication")})
CIPHER, HASH = encryption(DATA["encryption"]), authentication(DATA["authentication"])


def keys(seed: bytes) -> IkeKeys:
    return ike_keys(HASH, seed, OCTETS.nonce_i, OCTETS.nonce_r, OCTETS.spi_i, OCTETS.spi_r, CIPHER, HASH)


def in_clear(datagrams: list[str], sk_e: bytes, sk_a: bytes) -> bytes:
    """The message of those fragments, as AUTH covers it."""
    cipher = IkeCipher(CIPHER, HASH, sk_e, sk_a)
    fragments = [(data, encrypted) for data in map(bytes.fromhex, datagrams)
                 if (encrypted := decode_message(data).encrypted) is not None]
    assert [(row.number, row.total) for _data, row in fragments] == [
        (number, len(fragments)) for number in range(1, len(fragments) + 1)]
    return without_encryption(*fragments[0], b"".join(cipher.open(data, row.offset) for data, row in fragments))


@pytest.mark.parametrize("spoilt", [None, "additional_secret", "ppk", "request", "response"])
def test_strongswans_proof(spoilt: str | None) -> None:
    def octets(name: str) -> bytes:
        value: bytes = getattr(OCTETS, name)
        return value[:-1] + bytes([value[-1] ^ 1]) if name == spoilt else value

    first = keys(skeyseed(HASH, OCTETS.nonce_i, OCTETS.nonce_r, OCTETS.shared_secret))
    int_auth = IntAuth(HASH)
    request = in_clear(DATA["request"], first.sk_ei, first.sk_ai)
    response = in_clear(DATA["response"], first.sk_er, first.sk_ar)
    int_auth.add_request(first.sk_pi, request[: -1 if spoilt == "request" else None])
    int_auth.add_response(first.sk_pr, response[: -1 if spoilt == "response" else None])
    renewed = keys(rekeyed_skeyseed(HASH, first.sk_d, octets("additional_secret"), OCTETS.nonce_i, OCTETS.nonce_r))
    mixed = with_ppk(HASH, renewed, octets("ppk"))
    covered = signed_octets(HASH, OCTETS.real_message_2, OCTETS.nonce_i, mixed.sk_pr, OCTETS.id_r, int_auth.octets())
    assert (psk_auth(HASH, OCTETS.psk, covered) == OCTETS.auth_r) is (spoilt is None)
