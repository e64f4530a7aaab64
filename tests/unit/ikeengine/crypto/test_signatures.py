# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signatures of every scheme: against themselves, the blobs of RFC 7427, and OpenSSL's own command."""

from __future__ import annotations

import hashlib
import subprocess

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from ikeengine.asn1 import der
from ikeengine.asn1.der import Tag
from ikeengine.crypto import signature_schemes as schemes
from ikeengine.crypto.errors import CertificateError, SignatureError
from ikeengine.crypto.signatures import ACCEPTED_HASH_IDS, PrivateKey, PublicKey, load_private_key

MAKERS = {
    "RSA 2048": lambda: rsa.generate_private_key(65537, 2048),
    "RSA 3072": lambda: rsa.generate_private_key(65537, 3072),
    "ECDSA P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ECDSA P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ECDSA P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate, "Ed448": ed448.Ed448PrivateKey.generate,
}
KEYS = {name: make() for name, make in MAKERS.items()}
OWN = {name: PrivateKey(key) for name, key in KEYS.items()}
DATA = b"signed octets"
ALL = ACCEPTED_HASH_IDS


def _accepted(key: PrivateKey) -> list[schemes.Scheme]:
    found = [row for row in (*schemes.PSS.values(), *schemes.PKCS1.values(), *schemes.ECDSA.values(), schemes.ED25519,
                             schemes.ED448, *schemes.ECDSA_OF_CURVE.values())
             if row.kind is key.public.kind and row.curve in ("", key.public.curve)]
    return [row for row in found if row.hash is None or row.hash.name != "MD5"]


@pytest.mark.parametrize("name", KEYS)
def test_what_a_key_signs_it_verifies_and_nothing_else(name):
    key = OWN[name]
    assert key.public.name == name
    for scheme in _accepted(key):
        signature = key.sign(scheme, DATA)
        key.public.verify(scheme, signature, DATA)
        with pytest.raises(SignatureError, match="is not that of its key"):
            key.public.verify(scheme, signature, DATA + b"!")
        for spoilt in (signature[:-1] + bytes([signature[-1] ^ 1]), signature[:-1], signature + b"\0", b""):
            with pytest.raises(SignatureError):
                key.public.verify(scheme, spoilt, DATA)
        with pytest.raises(SignatureError, match="is not that of its key"):
            PublicKey(MAKERS[name]().public_key()).verify(scheme, signature, DATA)


def test_a_public_exponent_that_makes_verifying_dear():
    modulus = KEYS["RSA 3072"].public_key().public_numbers().n
    PublicKey(rsa.RSAPublicNumbers(2**63 + 1, modulus).public_key())
    with pytest.raises(CertificateError, match="its key is RSA 3072 with an exponent of more than 64 bits"):
        PublicKey(rsa.RSAPublicNumbers(2**64 + 1, modulus).public_key())


@pytest.mark.parametrize("parameters", [
    der.encode(Tag.CONTEXT_0, der.encode(Tag.NULL) * 2), der.encode(Tag.CONTEXT_0),
    der.encode(Tag.CONTEXT_0, der.sequence([])), der.encode(Tag.CONTEXT_1, der.sequence([der.encode(Tag.NULL)])),
    der.encode(Tag.CONTEXT_1, der.sequence([der.encode(Tag.NULL)] * 3)),
    der.encode(Tag.CONTEXT_2, der.encode(Tag.INTEGER, b"\x7f" * 5000)), der.encode(Tag.NULL),
])
def test_parameters_of_pss_that_are_none(parameters):
    with pytest.raises(SignatureError, match="whose algorithm identifier cannot be read"):
        schemes.from_identifier(der.sequence([der.encode_oid("1.2.840.113549.1.1.10"), der.sequence([parameters])]))


@pytest.mark.parametrize("name", KEYS)
def test_an_identifier_says_its_scheme(name):
    for scheme in _accepted(OWN[name]):
        if scheme.identifier:
            assert schemes.from_identifier(scheme.identifier) == scheme


@pytest.mark.parametrize(("octets", "name", "salt_size"), [
    ("300d06092a864886f70d0101050500", "RSA PKCS#1 with SHA1", None),
    ("300d06092a864886f70d01010b0500", "RSA PKCS#1 with SHA2-256", None),
    ("300b06092a864886f70d01010b", "RSA PKCS#1 with SHA2-256", None),
    ("300d06092a864886f70d01010d0500", "RSA PKCS#1 with SHA2-512", None),
    ("300906072a8648ce3d0401", "ECDSA with SHA1", None), ("300a06082a8648ce3d040302", "ECDSA with SHA2-256", None),
    ("300a06082a8648ce3d040304", "ECDSA with SHA2-512", None), ("300506032b6570", "Ed25519", None),
    ("300506032b6571", "Ed448", None),
    ("300d06092a864886f70d01010a3000", "RSA-PSS with SHA1", 20),
    ("304106092a864886f70d01010a3034a00f300d06096086480165030402010500a11c301a06092a864886f70d010108300d060960864801"
     "65030402010500a203020120", "RSA-PSS with SHA2-256", 32),
    ("304606092a864886f70d01010a3039a00f300d06096086480165030402010500a11c301a06092a864886f70d010108300d060960864801"
     "65030402010500a203020120a303020101", "RSA-PSS with SHA2-256", 32),
])
def test_the_identifiers_of_rfc_7427(octets, name, salt_size):
    scheme = schemes.from_identifier(bytes.fromhex(octets))
    assert (scheme.name, scheme.salt_size) == (name, salt_size)
    assert scheme.is_strong is ("SHA1" not in name)


@pytest.mark.parametrize(("octets", "sentence"), [
    ("", "cannot be read"), ("3000", "cannot be read"), ("0500", "cannot be read"), ("300506032b657000", "cannot be"),
    ("300506032b656e", "algorithm 1.3.101.110"), ("300706032b65700500", "algorithm 1.3.101.112"),
    # PSS whose mask has another hash; an unknown one; a trailer of 2; a salt without end
    ("301e06092a864886f70d01010a3011a00f300d06096086480165030402010500", "two hashes"),
    ("301c06092a864886f70d01010a300fa00d300b0609608648016503040204", "hash 2.16.840.1.101.3.4.2.4"),
    ("301206092a864886f70d01010a3005a303020102", "another trailer"),
    ("301406092a864886f70d01010a3007a20502037fffff", "a salt of 8388607"),
])
def test_identifiers_that_are_not_accepted(octets, sentence):
    with pytest.raises(SignatureError, match=sentence):
        schemes.from_identifier(bytes.fromhex(octets))


@pytest.mark.parametrize(("name", "announced", "chosen"), [
    ("RSA 2048", ALL, "RSA-PSS with SHA2-256"), ("RSA 3072", (1, 4), "RSA-PSS with SHA2-512"),
    ("ECDSA P-256", ALL, "ECDSA with SHA2-256"), ("ECDSA P-384", ALL, "ECDSA with SHA2-384"),
    ("ECDSA P-521", ALL, "ECDSA with SHA2-512"), ("ECDSA P-521", (2,), "ECDSA with SHA2-256"),
    ("Ed25519", ALL, "Ed25519"), ("Ed448", ALL, "Ed448"), ("Ed25519", (2, 3, 4), None), ("RSA 2048", (1,), None),
    ("RSA 2048", (), None),
])
def test_the_scheme_for_what_the_peer_announced(name, announced, chosen):
    scheme = OWN[name].public.best_scheme(announced)
    assert (scheme and scheme.name) == chosen


def test_with_rsa_the_peers_padding_is_ours():
    public = OWN["RSA 2048"].public
    assert public.best_scheme(ALL, like=schemes.PKCS1[schemes.SHA2_512]) == schemes.PKCS1[schemes.SHA2_256]
    assert public.best_scheme(ALL, like=schemes.PSS[schemes.SHA2_512]) == schemes.PSS[schemes.SHA2_256]
    assert public.best_scheme(ALL, like=schemes.ED25519) == schemes.PSS[schemes.SHA2_256]


@pytest.mark.parametrize(("name", "numbered", "size"), [
    ("RSA 2048", "RSA PKCS#1 with SHA1", 256), ("ECDSA P-256", "ECDSA with SHA2-256 on P-256", 64),
    ("ECDSA P-384", "ECDSA with SHA2-384 on P-384", 96), ("ECDSA P-521", "ECDSA with SHA2-512 on P-521", 132)])
def test_the_older_methods(name, numbered, size):
    key = OWN[name]
    scheme = key.public.numbered_scheme
    assert scheme is not None and scheme.name == numbered
    assert len(key.sign(scheme, DATA)) == size


def test_edwards_curves_have_no_older_method():
    assert OWN["Ed25519"].public.numbered_scheme is OWN["Ed448"].public.ikev1_scheme is None


def _openssl(tmp_path, name: str, signature: bytes, data: bytes) -> str:
    key = tmp_path / "key"
    key.write_bytes(KEYS[name].public_key().public_bytes(serialization.Encoding.PEM,
                                                         serialization.PublicFormat.SubjectPublicKeyInfo))
    (tmp_path / "signature").write_bytes(signature)
    (tmp_path / "data").write_bytes(data)
    argv = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", key, "-sigfile", tmp_path / "signature", "-in",
            tmp_path / "data"]
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout


@pytest.mark.parametrize("hash_name", ["md5", "sha1", "sha256", "sha384", "sha512"])
@pytest.mark.parametrize("name", ["RSA 2048", "RSA 3072"])
def test_ikev1_signs_the_hash_itself_with_rsa(name, hash_name, tmp_path):
    """PKCS #1 block type 1 around the octets of the hash, as OpenSSL makes it where nobody names a digest."""
    key, octets = OWN[name], hashlib.new(hash_name, b"HASH_I").digest()
    scheme = key.public.ikev1_scheme
    assert scheme is not None
    signature = key.sign(scheme, octets)
    key.public.verify(scheme, signature, octets)
    assert "Verified Successfully" in _openssl(tmp_path, name, signature, octets)
    numbers = KEYS[name].public_key().public_numbers()
    block = pow(int.from_bytes(signature, "big"), numbers.e, numbers.n).to_bytes(len(signature), "big")
    assert block == b"\0\1" + b"\xff" * (len(signature) - len(octets) - 3) + b"\0" + octets
    with pytest.raises(SignatureError):
        key.public.verify(scheme, signature, octets[:-1])
    with pytest.raises(SignatureError):
        key.public.verify(scheme, key.sign(schemes.RSA_SHA1, b"HASH_I"), octets)


@pytest.mark.parametrize("size", [20, 32, 48, 64])
@pytest.mark.parametrize("name", ["ECDSA P-256", "ECDSA P-384", "ECDSA P-521"])
def test_ikev1_signs_the_hash_itself_with_ecdsa(name, size):
    key, octets = OWN[name], bytes(range(size))
    scheme = key.public.ikev1_scheme
    assert scheme is not None
    signature = key.sign(scheme, octets)
    key.public.verify(scheme, signature, octets)
    assert len(signature) == 2 * ((KEYS[name].curve.key_size + 7) // 8)
    with pytest.raises(SignatureError, match="is not that of its key"):
        key.public.verify(scheme, signature, octets[::-1])
    with pytest.raises(SignatureError):
        key.public.verify(scheme, signature, octets[:-1])


@pytest.mark.parametrize(("signer", "scheme"), [
    ("RSA 2048", schemes.ECDSA[schemes.SHA2_256]), ("ECDSA P-256", schemes.ED25519),
    ("ECDSA P-256", schemes.ECDSA_OF_CURVE["P-384"]), ("Ed25519", schemes.PSS[schemes.SHA2_256])])
def test_a_scheme_of_another_key_is_refused_by_name(signer, scheme):
    key = OWN[signer]
    with pytest.raises(SignatureError, match="by a key that is"):
        key.public.verify(scheme, bytes(64), DATA)
    with pytest.raises(SignatureError, match="cannot be signed by a key"):
        key.sign(scheme, DATA)


@pytest.mark.parametrize(("key", "sentence"), [
    (lambda: rsa.generate_private_key(65537, 1024), "RSA 1024: 2048 to 8192 bits are accepted"),
    (lambda: ec.generate_private_key(ec.SECP256K1()), "on the curve secp256k1"),
    (lambda: ec.generate_private_key(ec.SECP224R1()), "on the curve secp224r1")])
def test_keys_that_are_not_accepted(key, sentence):
    with pytest.raises(CertificateError, match=sentence):
        PrivateKey(key())


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("form", ["PKCS8", "TraditionalOpenSSL"])
def test_private_keys_are_read_from_pem_and_never_shown(name, form):
    if name.startswith("Ed") and form != "PKCS8":
        return  # they have that form alone
    pem = KEYS[name].private_bytes(serialization.Encoding.PEM, getattr(serialization.PrivateFormat, form),
                                   serialization.NoEncryption())
    key = load_private_key(pem)
    assert key.public.spki == OWN[name].public.spki
    assert repr(key) == f"<private key {name}>"


@pytest.mark.parametrize("pem", [b"", b"-----BEGIN PRIVATE KEY-----\nMIIBAAAA\n-----END PRIVATE KEY-----\n",
                                 dsa.generate_private_key(1024).private_bytes(
                                     serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                     serialization.NoEncryption())])
def test_what_is_no_private_key_for_us(pem):
    with pytest.raises(CertificateError) as refused:
        load_private_key(pem)
    assert "MII" not in str(refused.value)
