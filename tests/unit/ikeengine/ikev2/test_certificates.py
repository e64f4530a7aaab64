# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two daemons that authenticate each other by certificates: what comes up, and what is refused why."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ikeengine.crypto import signature_schemes
from ikeengine.crypto.signatures import PublicKey
from ikeengine.ikev2 import authentication
from ikeengine.security_association import Datagram
from ikeengine.vpn.model import Side, Start
from ikeengine.wire.certificate import Certificate
from ikeengine.wire.constants import CertificateEncoding, NotifyType
from ikeengine.wire.message import decode_message, encode_message
from ikeengine.wire.notify import Notify

from tests.support.certificates import KEYS, Issued, credential, issue, revocation_list
from tests.support.virtual_network import BRANCH, EPOCH, HQ, End, agree, branch, hq, pair

NOW = datetime.fromtimestamp(EPOCH, UTC)
DAY = timedelta(days=1)
ROOT = issue("CN=root, O=Example", authority=True)
MIDDLE = issue("CN=middle, O=Example", ROOT, authority=True)
OTHER_ROOT = issue("CN=other root", authority=True)

NAMES: dict[str, tuple[str, str]] = {
    "domain-name": ("hq.example", "branch.example"), "ip-address": (HQ, BRANCH),
    "domain-information": ("gw@hq.example", "gw@branch.example"),
    "x500-name": ("C=DE, O=Example, CN=hq", "C=DE, O=Example, CN=branch")}


def own(site: str, issuer: Issued = ROOT, **changes: Any) -> Issued:
    """A certificate that holds all four identifiers of the site."""
    place = ("hq", "branch").index(site)
    changes = {"alternative": [NAMES[kind][place] for kind in NAMES if kind != "x500-name"], **changes}
    return issue(changes.pop("subject", NAMES["x500-name"][place]), issuer, **changes)


def ends(left: dict[str, Any], right: dict[str, Any], kind: str = "domain-name") -> tuple[Side, Side]:
    """Both ends with these credentials; the left one initiates."""
    names = [{"type": kind, "value": value} for value in NAMES[kind]]
    here, there = ({"address": address, "identifier": name} for address, name in zip((HQ, BRANCH), names, strict=True))
    return (hq(gateway={"credential": left, "endpoints": [{"local": here, "remote": there}]}),
            branch(gateway={"credential": right, "endpoints": [{"local": there, "remote": here}]}, start="answer"))


def run(left: dict[str, Any], right: dict[str, Any], kind: str = "domain-name", **options: Any) -> tuple[End, End]:
    network, one, other = pair(*ends(left, right, kind), **options)
    network.start()
    network.run(2)
    return one, other


def refused(one: End, other: End) -> tuple[list[str], list[str]]:
    """The reasons at both ends, where nothing came up."""
    assert not one.inbound and not other.inbound
    return one.reasons, other.reasons


@pytest.mark.parametrize("key", KEYS)
def test_every_kind_of_key(key):
    agree(*run(credential(own("hq", key=key), ROOT), credential(own("branch", key=key), ROOT)), routes=1)


def test_the_ends_need_not_have_the_same_kind_of_key_nor_authority():
    agree(*run(credential(own("hq", ROOT, key="RSA 2048"), OTHER_ROOT),
               credential(own("branch", OTHER_ROOT, key="Ed25519"), ROOT)), routes=1)


@pytest.mark.parametrize("kind", NAMES)
def test_every_kind_of_identifier(kind):
    one, other = run(credential(own("hq"), ROOT), credential(own("branch"), ROOT), kind)
    agree(one, other, routes=1)
    assert [end.manager.overview.gateways()[0].ike[0].remote_identity for end in (other, one)] == list(NAMES[kind])


def test_a_chain_is_sent_along():
    agree(*run(credential(own("hq", MIDDLE), ROOT, chain=[MIDDLE]), credential(own("branch"), ROOT)), routes=1)


def test_what_stands_between_may_be_declared_at_the_other_end():
    agree(*run(credential(own("hq", MIDDLE), ROOT), credential(own("branch"), ROOT, chain=[MIDDLE])), routes=1)


def test_everything_is_rekeyed_as_with_a_pre_shared_key():
    network, one, other = pair(*ends(credential(own("hq"), ROOT), credential(own("branch"), ROOT)))
    network.start()
    network.run(2)
    for end in (one, other):
        end.manager.rekey_ike("peer", network.now)
        end.manager.rekey_child("lan", network.now)
        network.run(5)
        agree(one, other, routes=1)


# ------------------------------------------------------------------------------------------------ which signature

@pytest.fixture
def signed_with(monkeypatch) -> list[str]:
    """The schemes of all signatures that are verified of AUTH payloads, the initiator's first."""
    found: list[str] = []
    kept = authentication._scheme_and_signature

    def noted(*proof: Any) -> Any:
        result = kept(*proof)
        found.append(result[0].name)
        return result

    monkeypatch.setattr(authentication, "_scheme_and_signature", noted)
    return found


def _announcing(monkeypatch: pytest.MonkeyPatch, hashes: Sequence[int]) -> None:
    monkeypatch.setattr(authentication, "announced", lambda payloads: frozenset(hashes))


@pytest.mark.parametrize(("key", "name"), [
    ("RSA 2048", "RSA-PSS with SHA2-256"), ("ECDSA P-256", "ECDSA with SHA2-256"),
    ("ECDSA P-384", "ECDSA with SHA2-384"), ("ECDSA P-521", "ECDSA with SHA2-512"), ("Ed25519", "Ed25519")])
def test_the_signature_is_the_best_of_rfc_7427(key, name, signed_with):
    run(credential(own("hq", key=key), ROOT), credential(own("branch", key=key), ROOT))
    assert signed_with == [name, name]


@pytest.mark.parametrize(("key", "name"), [
    ("RSA 2048", "RSA PKCS#1 with SHA1"), ("ECDSA P-256", "ECDSA with SHA2-256 on P-256"),
    ("ECDSA P-384", "ECDSA with SHA2-384 on P-384"), ("ECDSA P-521", "ECDSA with SHA2-512 on P-521")])
def test_a_peer_without_rfc_7427_gets_the_method_of_old(key, name, signed_with, monkeypatch):
    _announcing(monkeypatch, ())
    agree(*run(credential(own("hq", key=key), ROOT), credential(own("branch", key=key), ROOT)), routes=1)
    assert signed_with == [name, name]


def test_the_hash_is_one_that_the_peer_announced(signed_with, monkeypatch):
    _announcing(monkeypatch, (1, 4))
    agree(*run(credential(own("hq", key="RSA 2048"), ROOT), credential(own("branch"), ROOT)), routes=1)
    assert signed_with == ["RSA-PSS with SHA2-512", "ECDSA with SHA2-512"]


def test_a_responder_pads_as_the_initiator_does(signed_with, monkeypatch):
    monkeypatch.setattr(PublicKey, "_schemes", lambda key, like: [
        (signature_schemes.PKCS1 if like is None or like.salt_size is None else signature_schemes.PSS)[row]
        for row in signature_schemes.SHA2])
    run(credential(own("hq", key="RSA 2048"), ROOT), credential(own("branch", key="RSA 3072"), ROOT))
    assert signed_with == ["RSA PKCS#1 with SHA2-256", "RSA PKCS#1 with SHA2-256"]


def test_an_edwards_key_and_a_peer_that_knows_no_rfc_7427(monkeypatch):
    _announcing(monkeypatch, ())
    ours, _theirs = refused(*run(credential(own("hq", key="Ed25519"), ROOT), credential(own("branch"), ROOT)))
    assert ours[0] == (
        f"gateway peer: credential: the peer {BRANCH} announces no signature algorithm for it, our key is Ed25519: no "
        "common signature (RFC 7427 §4). Set gateways[peer].credential.certificate to one with an RSA or ECDSA key, or "
        "have the peer announce the hash that this kind of key needs.")


def test_a_weak_signature_that_nobody_announced_is_refused(monkeypatch):
    monkeypatch.setattr(PublicKey, "best_scheme", lambda *_: signature_schemes.ECDSA[signature_schemes.SHA1])
    _ours, theirs = refused(*run(credential(own("hq"), ROOT), credential(own("branch"), ROOT)))
    assert "it signs with ECDSA with SHA1, which was not announced, so the answer is AUTHENTICATION_FAILED" in theirs[0]


def test_who_takes_the_hashes_out_of_the_answer_gets_no_sha1_past_the_responder():
    network, one, other = pair(*ends(credential(own("hq", key="RSA 2048"), ROOT), credential(own("branch"), ROOT)))

    def without_hashes(datagram: Datagram) -> Datagram:
        message = decode_message(datagram.data)
        if message.encrypted is not None or not message.header.is_response:
            return datagram
        kept = [row for row in message.payloads
                if not isinstance(row, Notify) or row.notify_type != NotifyType.SIGNATURE_HASH_ALGORITHMS]
        assert len(kept) == len(message.payloads) - 1
        header = message.header
        return replace(datagram, data=encode_message(
            spi_i=header.spi_i, spi_r=header.spi_r, exchange=header.exchange, flags=header.flags,
            message_id=header.message_id, payloads=kept))

    network.tamper = without_hashes
    network.start()
    network.run(0.5)
    _ours, theirs = refused(one, other)
    assert "it signs with RSA PKCS#1 with SHA1, which was not announced" in theirs[0]


# ------------------------------------------------------------------------------------------------ what is refused

Change = Callable[[], dict[str, Any]]

BAD: dict[str, tuple[Change, str]] = {
    "expired": (lambda: credential(own("hq", not_after=NOW - DAY), ROOT), "expired on 2027-01-14"),
    "not valid yet": (lambda: credential(own("hq", not_before=NOW + DAY), ROOT), "is not valid before 2027-01-16"),
    "another authority": (lambda: credential(own("hq", OTHER_ROOT), ROOT),
                          "is issued by CN=other root, which is no declared authority, and no certificate of it"),
    "its own authority": (lambda: credential(own("hq", issue("CN=root, O=Example", authority=True)), ROOT),
                          "is not issued by CN=root, O=Example as it says"),
    "without its chain": (lambda: credential(own("hq", MIDDLE), ROOT), "is issued by CN=middle, O=Example, which is"),
    "another name": (lambda: credential(own("hq", alternative=["gate.example", BRANCH]), ROOT),
                     "is not for hq.example (domain-name): its alternative names of that kind are gate.example"),
    "no name": (lambda: credential(own("hq", alternative=[]), ROOT), "its alternative names of that kind are none"),
    "a name in the subject alone": (lambda: credential(own("hq", subject="CN=hq.example", alternative=[]), ROOT),
                                    "its alternative names of that kind are none"),
    "a network": (lambda: credential(own("hq", alternative=["192.0.2.0/24"]), ROOT), "that kind are none"),
    "a line of its own": (lambda: credential(own("hq", alternative=["a\n\x1b[31mb"]), ROOT), r"kind are a\n\x1b[31mb,"),
    "a wildcard": (lambda: credential(own("hq", alternative=["*.example"]), ROOT), "that kind are *.example"),
    "not for signatures": (lambda: credential(own("hq", usages=["key_encipherment"]), ROOT), "is not for signatures"),
}


@pytest.mark.parametrize("what", BAD)
def test_the_responder_says_which_check_failed_and_the_peer_does_not_hear_it(what):
    make, sentence = BAD[what]
    ours, theirs = refused(*run(make(), credential(own("branch"), ROOT)))
    assert theirs[0].startswith(f"gateway peer: credential: the peer {HQ} has a certificate that is not trusted")
    assert sentence in theirs[0] and "so the answer is AUTHENTICATION_FAILED" in theirs[0]
    assert f"the peer {BRANCH} answered AUTHENTICATION_FAILED" in ours[0] and sentence not in ours[0]


@pytest.mark.parametrize("what", BAD)
def test_the_initiator_says_which_check_failed(what):
    make, sentence = BAD[what]
    bad, good = ends(make(), credential(own("branch"), ROOT))
    network, one, other = pair(_starting(bad, "answer"), _starting(good, "boot"))
    network.start()
    network.run(2)
    assert not one.inbound and not other.inbound
    assert sentence in other.reasons[0]


def _starting(side: Side, start: str) -> Side:
    return replace(side, gateways=tuple(replace(row, start=Start(start)) for row in side.gateways))


def test_a_network_is_no_address_of_it():
    bad = own("hq", alternative=[f"{HQ}/32", "192.0.2.0/24"])
    _ours, theirs = refused(*run(credential(bad, ROOT), credential(own("branch"), ROOT), "ip-address"))
    assert f"is not for {HQ} (ip-address): its alternative names of that kind are {HQ}/32, 192.0.2.0/24" in theirs[0]


@pytest.mark.parametrize("kind", ["ip-address", "domain-information", "x500-name"])
def test_a_name_of_another_kind_does_not_count(kind):
    bad = own("hq", subject="C=DE, O=Example, CN=gate", alternative=["hq.example"])
    _ours, theirs = refused(*run(credential(bad, ROOT), credential(own("branch"), ROOT), kind))
    assert f"for {NAMES[kind][0]}" in theirs[0] or f"than {NAMES[kind][0]}" in theirs[0]


def test_a_revoked_certificate():
    left = own("hq")
    _ours, theirs = refused(*run(credential(left, ROOT), credential(
        own("branch"), ROOT, crl=[revocation_list(ROOT, left)])))
    assert "CN=hq was revoked on 2020-01-01 00:00:00 UTC by CN=root, O=Example" in theirs[0]


def test_a_revocation_list_that_is_not_fresh_refuses_everybody():
    old = revocation_list(ROOT, next_update=NOW - DAY)
    _ours, theirs = refused(*run(credential(own("hq"), ROOT), credential(own("branch"), ROOT, crl=[old])))
    assert "the revocation list of CN=root, O=Example cannot be used: it expired on 2027-01-14" in theirs[0]


def test_a_certificate_that_expires_while_the_ike_sa_is_up_keeps_it_until_it_is_made_anew():
    left = own("hq", not_after=NOW + DAY)
    network, one, other = pair(*ends(credential(left, ROOT), credential(own("branch"), ROOT)))
    network.start()
    network.run(3 * 24 * 3600)
    agree(one, other, routes=1)
    one.manager.terminate("peer", network.now)
    network.run(5)
    one.manager.initiate("peer", network.now)
    network.run(5)
    assert not one.inbound and "expired on 2027-01-16" in other.reasons[-1]


def test_a_pre_shared_key_where_a_certificate_is_declared_and_the_reverse():
    key = {"method": "psk", "psk": "correct horse battery staple 7151"}
    certificate = credential(own("hq"), ROOT)
    _ours, theirs = refused(*run(key, certificate))
    assert f"credential: the peer {HQ} has a pre-shared key, we have method certificate" in theirs[0]
    _ours, theirs = refused(*run(certificate, key))
    assert f"credential: the peer {HQ} has a certificate, we have method psk" in theirs[0]


@pytest.mark.parametrize("kind", NAMES)
def test_a_key_that_is_not_the_certificates(kind):
    left, other = own("hq"), own("hq")
    swapped = {**credential(left, ROOT), "private_key": other.key_pem}
    ours, _theirs = refused(*run(swapped, credential(own("branch"), ROOT), kind))
    assert "the private key is not that of certificate C=DE, O=Example, CN=hq" in ours[0]


# ------------------------------------------------------------------------------------------------ what was sent

def _sending(monkeypatch: pytest.MonkeyPatch, change: Callable[[list[Any]], list[Any]]) -> None:
    """Both ends send what ``change`` makes of their certificates."""
    kept = authentication.prove

    def changed(*args: Any, **more: Any) -> Any:
        certificates, proof = kept(*args, **more)
        return change(certificates), proof

    monkeypatch.setattr(authentication, "prove", changed)


def test_a_peer_that_sends_no_certificate(monkeypatch):
    _sending(monkeypatch, lambda rows: [])
    _ours, theirs = refused(*run(credential(own("hq"), ROOT), credential(own("branch"), ROOT)))
    assert "the peer sent no certificate" in theirs[0]


def test_a_peer_that_says_where_its_certificate_is(monkeypatch):
    _sending(monkeypatch, lambda rows: [Certificate(CertificateEncoding.X509_HASH_AND_URL, bytes(20) + b"http://x/")])
    _ours, theirs = refused(*run(credential(own("hq"), ROOT), credential(own("branch"), ROOT)))
    assert "makes us fetch nothing" in theirs[0]


def test_what_else_stands_between_certificates_is_no_matter(monkeypatch):
    others = [Certificate(CertificateEncoding.X509_HASH_AND_URL, bytes(20) + b"http://x/"), Certificate(99, b"?"),
              Certificate(CertificateEncoding.CERTIFICATE_REVOCATION_LIST, b"?"),
              Certificate(CertificateEncoding.OCSP_CONTENT, b"?")]
    _sending(monkeypatch, lambda rows: [*others, *rows, *others])
    agree(*run(credential(own("hq"), ROOT), credential(own("branch"), ROOT)), routes=1)


def test_a_revocation_list_that_the_peer_sends_counts_if_its_issuer_made_it(monkeypatch):
    left = own("hq")
    der = _der(revocation_list(ROOT, left))
    _sending(monkeypatch, lambda rows: [*rows, Certificate(CertificateEncoding.CERTIFICATE_REVOCATION_LIST, der)])
    _ours, theirs = refused(*run(credential(left, ROOT), credential(own("branch"), ROOT)))
    assert "was revoked" in theirs[0]


def _der(pem: str) -> bytes:
    return base64.b64decode("".join(pem.splitlines()[1:-1]))


@pytest.mark.parametrize("octets", [b"", b"\x30\x03\x02\x01\x00", bytes(2000)])
def test_certificates_that_are_none(octets, monkeypatch):
    _sending(monkeypatch, lambda rows: [Certificate(CertificateEncoding.X509_SIGNATURE, octets)])
    _ours, theirs = refused(*run(credential(own("hq"), ROOT), credential(own("branch"), ROOT)))
    assert "a certificate cannot be read" in theirs[0]


def test_of_many_certificates_sixteen_are_looked_at(monkeypatch):
    none = Certificate(CertificateEncoding.X509_SIGNATURE, b"?")
    left, right = credential(own("hq", MIDDLE), ROOT, chain=[MIDDLE]), credential(own("branch"), ROOT)
    _sending(monkeypatch, lambda rows: [rows[0], *[none] * 14, *rows[1:]])
    agree(*run(left, right), routes=1)
    _sending(monkeypatch, lambda rows: [rows[0], none, *rows[1:]])
    _ours, theirs = refused(*run(left, right))
    assert "no certificate of it was sent" in theirs[0]


def test_no_private_key_is_in_any_text():
    left = own("hq")
    one, other = run(credential(left, ROOT), credential(own("branch"), OTHER_ROOT))
    digits = "".join(left.key_pem.splitlines()[1:-1])[40:80]
    assert digits not in "".join((repr(one.events), repr(other.events), repr(one.manager.__dict__)))
