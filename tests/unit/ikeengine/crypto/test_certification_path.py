# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which peers' certificates are trusted, and of the others why not: chains as hostile as they come."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st
from ikeengine.asn1 import der
from ikeengine.crypto import signature_schemes as schemes
from ikeengine.crypto.certificates import (
    Signed,
    certificate_from_pem,
    read_certificate,
    read_revocation_list,
    revocation_list_from_pem,
)
from ikeengine.crypto.certification_path import check_authority, check_peer
from ikeengine.crypto.errors import CertificateError
from ikeengine.crypto.signatures import PrivateKey

from tests.support.certificates import KEYS, Issued, issue, revocation_list

NOW = datetime(2027, 1, 15, tzinfo=UTC)
DAY = timedelta(days=1)
ROOT = issue("CN=root, O=Example", authority=True)
MIDDLE = issue("CN=middle, O=Example", ROOT, authority=True)
LEAF = issue("CN=hq, O=Example", MIDDLE)


def check(leaf: Issued, between: Sequence[Issued] = (), authorities: Sequence[Issued] = (ROOT,),
          declared: Sequence[str] = (), sent: Sequence[str] = (), at: datetime = NOW) -> None:
    one, *others = (certificate_from_pem(row.pem) for row in (leaf, *between))
    lists = [[revocation_list_from_pem(pem) for pem in rows] for rows in (declared, sent)]
    check_peer(one, others, [certificate_from_pem(row.pem) for row in authorities], *lists, at.timestamp())


def refusal(*args: object, **more: object) -> str:
    with pytest.raises(CertificateError) as refused:
        check(*args, **more)  # type: ignore[arg-type]
    return str(refused.value)


# ------------------------------------------------------------------------------------------------ what is trusted

def test_a_chain_in_any_order_with_whatever_else_was_sent():
    stranger = issue("CN=stranger", authority=True)
    for between in itertools.permutations((MIDDLE, stranger, LEAF)):
        check(LEAF, between)


def test_without_anything_between():
    check(issue("CN=hq", ROOT))


def test_a_declared_authority_need_not_be_a_root():
    check(LEAF, authorities=(MIDDLE,))


@pytest.mark.parametrize("authority", KEYS)
@pytest.mark.parametrize("own", ["RSA 2048", "ECDSA P-256", "Ed25519"])
def test_every_kind_of_key(authority, own):
    root = issue("CN=root", authority=True, key=authority)
    check(issue("CN=hq", root, key=own), authorities=(root,))


@pytest.mark.parametrize("hash_", [hashes.SHA256(), hashes.SHA384(), hashes.SHA512()], ids=lambda row: row.name)
@pytest.mark.parametrize("pss", [False, True], ids=["PKCS#1", "PSS"])
def test_rsa_signatures_of_either_padding(hash_, pss):
    root = issue("CN=root", authority=True, key="RSA 2048")
    check(issue("CN=hq", root, hash_=hash_, pss=pss), authorities=(root,))


def test_a_cross_signed_authority_leads_to_either_root():
    other = issue("CN=other root", authority=True)
    crossed = issue("CN=middle, O=Example", other, authority=True, key=MIDDLE.key)
    for authorities in ((ROOT,), (other,), (ROOT, other), (other, ROOT)):
        check(LEAF, (crossed, MIDDLE), authorities)
    assert "no declared authority" in refusal(LEAF, (crossed,))


def test_a_new_key_of_an_authority_that_the_old_one_vouches_for():
    renewed = issue("CN=root, O=Example", ROOT, authority=True, path_length=0)
    check(issue("CN=hq", renewed), (renewed,))


def test_two_authorities_of_one_name():
    twin = issue("CN=root, O=Example", authority=True)
    for authorities in itertools.permutations((ROOT, twin)):
        check(LEAF, (MIDDLE,), authorities)
        check(issue("CN=hq", twin), (), authorities)


def test_names_are_chained_by_their_parts():
    check(issue("CN=hq", MIDDLE, says_issuer="CN=MIDDLE, O=example"), (MIDDLE,))


@pytest.mark.parametrize("usages", [None, ("digital_signature",), ("content_commitment", "key_encipherment")])
@pytest.mark.parametrize("purposes", [(), ("1.3.6.1.5.5.7.3.17",), ("1.3.6.1.5.5.8.2.2", "1.3.6.1.5.5.7.3.3"),
                                      ("2.5.29.37.0",), ("1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2")])
def test_key_usages_that_ike_can_use(usages, purposes):
    check(issue("CN=hq", ROOT, usages=usages, purposes=purposes))


def test_a_path_as_long_as_it_may_be():
    chain = [ROOT]
    for number in range(6):
        chain.append(issue(f"CN=authority {number}", chain[-1], authority=True, path_length=5 - number))
    check(issue("CN=hq", chain[-1]), chain[1:])


# ------------------------------------------------------------------------------------------------ what is not

def test_names_longer_than_any():
    long = ", ".join(f"OU={number:064}" for number in range(64))
    for changes in ({"alternative": [long]}, {"permitted": [long]}):
        with pytest.raises(CertificateError, match="cannot be read"):
            read_certificate(issue("CN=hq", ROOT, **changes).der)


def test_who_issues_it_is_not_known():
    assert refusal(LEAF) == ("certificate CN=hq, O=Example is issued by CN=middle, O=Example, which is no declared "
                             "authority, and no certificate of it was sent")
    assert "CN=middle, O=Example is issued by CN=root, O=Example, which is no" in refusal(LEAF, (MIDDLE,), ())


def test_a_certificate_of_its_own():
    own = issue("CN=hq")
    assert refusal(own) == "certificate CN=hq is issued by itself, and is no declared authority"
    assert refusal(own, authorities=(own,)) == "certificate CN=hq is no authority: its basic constraints do not say CA"


def test_the_name_of_an_authority_without_its_key():
    forged = issue("CN=root, O=Example", authority=True)
    assert "is not issued by CN=root, O=Example as it says: the signature" in refusal(issue("CN=hq", forged))
    assert "is not issued by CN=root, O=Example as it says" in refusal(issue("CN=hq", forged), (forged,))


@pytest.mark.parametrize(("changes", "sentence"), [
    ({"authority": False}, "certificate CN=between is no authority: its basic constraints do not say CA"),
    ({"basic_constraints": False}, "certificate CN=between is no authority: its basic constraints do not say CA"),
    ({"usages": ("digital_signature", "crl_sign")}, "its key usage lacks the signing of certificates"),
    ({"not_after": NOW - DAY}, "certificate CN=between expired on 2027-01-14 00:00:00 UTC"),
    ({"not_before": NOW + DAY}, "certificate CN=between is not valid before 2027-01-16 00:00:00 UTC"),
    ({"extensions": [(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0"), True)]},
     "certificate CN=between has a critical extension that is not known here: 1.2.3.4"),
    ({"extensions": [(x509.PolicyConstraints(0, None), True)]}, "extension that is not known here: 2.5.29.36"),
])
def test_what_stands_between_must_be_a_valid_authority(changes, sentence):
    between = issue("CN=between", ROOT, **{"authority": True, **changes})
    assert sentence in refusal(issue("CN=hq", between), (between,))


@pytest.mark.parametrize(("changes", "sentence"), [
    ({"not_after": NOW - DAY}, "certificate CN=hq expired on 2027-01-14 00:00:00 UTC"),
    ({"not_before": NOW + DAY}, "certificate CN=hq is not valid before 2027-01-16 00:00:00 UTC"),
    ({"usages": ("key_encipherment",)}, "certificate CN=hq is not for signatures"),
    ({"purposes": ("1.3.6.1.5.5.7.3.3",)},
     "certificate CN=hq is not for IKE: its extended key usage has 1.3.6.1.5.5.7.3.3 alone"),
    ({"extensions": [(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0"), True)]},
     "certificate CN=hq has a critical extension that is not known here: 1.2.3.4"),
])
def test_what_the_peers_own_must_be(changes, sentence):
    assert sentence in refusal(issue("CN=hq", ROOT, **changes))


def test_what_is_not_critical_may_be_unknown():
    check(issue("CN=hq", ROOT, extensions=[
        (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0"), False)]))


def _with_sha1(signed: Signed, key: object) -> bytes:
    """The same, signed with RSA PKCS#1 and SHA-1, which the library does not issue any more."""
    sha1, sha2 = (schemes.PKCS1[row].identifier for row in (schemes.SHA1, schemes.SHA2_256))
    content = signed.content.replace(sha2, sha1)
    signature = PrivateKey(key).sign(schemes.RSA_SHA1, content)  # type: ignore[arg-type]
    return der.sequence((content, sha1, der.encode(der.Tag.BIT_STRING, b"\0", signature)))


def test_signatures_that_can_be_forged():
    root = issue("CN=root", authority=True, key="RSA 2048")
    authority, leaf = (certificate_from_pem(row.pem) for row in (root, issue("CN=hq", root)))
    weak = read_certificate(_with_sha1(leaf.signed, root.key))
    with pytest.raises(CertificateError, match="it is signed with RSA PKCS#1 with SHA1, which can be forged"):
        check_peer(weak, [], [authority], [], [], NOW.timestamp())
    # An authority's own is declared, not proved by its signature.
    check_peer(leaf, [], [read_certificate(_with_sha1(authority.signed, root.key))], [], [], NOW.timestamp())
    weak_list = read_revocation_list(_with_sha1(revocation_list_from_pem(revocation_list(root)).signed, root.key))
    with pytest.raises(CertificateError, match="list of CN=root cannot be used: it is signed with RSA PKCS#1"):
        check_peer(leaf, [], [authority], [weak_list], [], NOW.timestamp())


@pytest.mark.parametrize("octets", [b"", b"\x30\x00", b"\x30\x03\x02\x01\x00", LEAF.der[:-1],
                                    LEAF.der + b"\0", ROOT.der[::-1],
                                    LEAF.der.replace(b"\xa0\3\2\1\2", b"\xa0\3\2\1\x0a", 1)])  # version 11
def test_what_is_no_certificate(octets):
    with pytest.raises(CertificateError, match="a certificate cannot be read"):
        read_certificate(octets)
    with pytest.raises(CertificateError, match="a revocation list cannot be read"):
        read_revocation_list(octets)


_LIST = revocation_list_from_pem(revocation_list(MIDDLE, LEAF)).signed
_LIST_DER = der.sequence((_LIST.content, _LIST.identifier, der.encode(der.Tag.BIT_STRING, b"\0", _LIST.signature)))
ROOM = max(len(LEAF.der), len(_LIST_DER))


@given(st.lists(st.tuples(st.integers(0, ROOM), st.integers(0, 8), st.binary(max_size=8)), max_size=6))
def test_whatever_octets_are_read_or_refused(cuts):
    """Cut out, put in and changed at several places."""
    for octets, read in ((LEAF.der, read_certificate), (_LIST_DER, read_revocation_list)):
        for place, size, put in cuts:
            octets = octets[:place] + put + octets[place + size:]
        with suppress(CertificateError):
            str(read(octets))


@given(st.integers(0, len(LEAF.der) - 1), st.integers(1, 255))
def test_a_certificate_with_an_octet_changed_is_never_trusted(place, change):
    spoilt = bytearray(LEAF.der)
    spoilt[place] ^= change
    others = [certificate_from_pem(row.pem) for row in (MIDDLE, ROOT)]
    with pytest.raises(CertificateError):
        check_peer(read_certificate(bytes(spoilt)), others[:1], others[1:], [], [], NOW.timestamp())


def test_more_authorities_below_one_than_it_allows():
    top = issue("CN=top", ROOT, authority=True, path_length=0)
    low = issue("CN=low", top, authority=True)
    assert "certificate CN=top allows 0 authorities below it, and the path has 1" in refusal(
        issue("CN=hq", low), (low, top))
    check(issue("CN=hq", top), (top,))


def test_an_authority_that_is_expired_itself():
    root = issue("CN=root", authority=True, not_after=NOW - DAY)
    assert "certificate CN=root expired" in refusal(issue("CN=hq", root), authorities=(root,))
    with pytest.raises(CertificateError, match="CN=root expired"):
        check_authority(certificate_from_pem(root.pem), NOW.timestamp())


def test_a_path_that_is_longer_than_anyones():
    chain = [ROOT]
    for number in range(9):
        chain.append(issue(f"CN=authority {number}", chain[-1], authority=True))
    assert "is longer than 8 certificates" in refusal(issue("CN=hq", chain[-1]), chain[1:])


def test_authorities_that_issue_each_other_end():
    one = issue("CN=one", authority=True)
    other = issue("CN=other", authority=True)
    crossed = issue("CN=one", other, authority=True, key=one.key), issue("CN=other", one, authority=True, key=other.key)
    assert "no declared authority" in refusal(issue("CN=hq", one), crossed)
    assert "no declared authority" in refusal(issue("CN=hq", one), (*crossed, one, other))


def test_many_certificates_of_one_name_cost_little():
    key = issue("CN=many", authority=True).key
    many = [issue("CN=many", ROOT if number == 39 else None, authority=True,
                  key=key if number == 39 else "ECDSA P-256") for number in range(40)]
    assert "was found in 32 tries" in refusal(issue("CN=hq", many[-1]), many)


def test_keys_that_are_too_short_or_of_another_curve():
    for key, sentence in ((rsa.generate_private_key(65537, 1024), "RSA 1024"),
                          (ec.generate_private_key(ec.SECP256K1()), "secp256k1")):
        with pytest.raises(CertificateError, match=f"certificate CN=hq: its key is.*{sentence}"):
            certificate_from_pem(issue("CN=hq", key=key).pem)


# ------------------------------------------------------------------------------------------------ name constraints

def _constrained(alternative: Sequence[str] = (), subject: str = "O=Example, CN=hq",
                 **constraints: Sequence[str]) -> None:
    between = issue("CN=between", ROOT, authority=True, **constraints)  # type: ignore[arg-type]
    low = issue("O=Example, CN=low", between, authority=True)
    check(issue(subject, low, alternative=alternative), (low, between))


@pytest.mark.parametrize(("alternative", "constraints"), [
    (["hq.example.net"], {"permitted": ["example.net"]}), (["HQ.Example.net"], {"permitted": ["hq.example.net"]}),
    (["hq.example.net"], {"permitted": ["example.org", "example.net"]}),
    (["hq.example.net"], {"permitted": [".example.net"]}),
    (["hq.example.net"], {"excluded": ["branch.example.net"]}), (["hq.example.net"], {"permitted": ["192.0.2.0/24"]}),
    (["192.0.2.7"], {"permitted": ["192.0.2.0/24"]}), (["2001:db8::1"], {"permitted": ["2001:db8::/32"]}),
    (["gw@example.net"], {"permitted": ["x@example.org", "gw@EXAMPLE.net"]}),
    ([], {"permitted": ["CN=x", "O=example"]}), ([], {"excluded": ["CN=hq", "O=Example, CN=branch"]}),
])
def test_names_for_which_an_authority_may_issue(alternative, constraints):
    _constrained(alternative, **constraints)


@pytest.mark.parametrize(("alternative", "constraints"), [
    (["hq.example.net"], {"permitted": ["example.org"]}), (["hq.example.net"], {"excluded": ["example.net"]}),
    (["hqexample.net"], {"permitted": ["example.net"]}), (["example.net"], {"permitted": [".example.net"]}),
    (["hq.example.net"], {"permitted": ["example.net"], "excluded": ["hq.example.net"]}),
    (["a.example.net", "b.example.org"], {"permitted": ["example.net"]}),
    (["192.0.2.7"], {"permitted": ["198.51.100.0/24"]}), (["192.0.2.7"], {"excluded": ["0.0.0.0/0"]}),
    (["192.0.2.7"], {"permitted": ["2001:db8::/32"]}), (["gw@example.net"], {"permitted": ["other@example.net"]}),
    ([], {"permitted": ["O=Other"]}), ([], {"excluded": ["O=Example, CN=hq"]}),
])
def test_names_for_which_it_may_not(alternative, constraints):
    with pytest.raises(CertificateError, match="has a name for which CN=between may not issue"):
        _constrained(alternative, **constraints)


def test_a_mailbox_in_the_subject_counts_where_no_other_stands():
    with pytest.raises(CertificateError, match="may not issue"):
        _constrained(subject="CN=hq, E=gw@example.org", permitted=["gw@example.net"])


def test_constraints_of_a_kind_that_is_not_known():
    uri = x509.NameConstraints([x509.UniformResourceIdentifier("example.net")], None)
    between = issue("CN=between", ROOT, authority=True, extensions=[(uri, True)])
    assert "constrains names of a kind that is not known here" in refusal(issue("CN=hq", between), (between,))


# ------------------------------------------------------------------------------------------------ revocation

@pytest.mark.parametrize("way", ["declared", "sent"])
def test_a_revoked_certificate(way):
    assert refusal(LEAF, (MIDDLE,), **{way: [revocation_list(MIDDLE, LEAF)]}) == (
        "certificate CN=hq, O=Example was revoked on 2020-01-01 00:00:00 UTC by CN=middle, O=Example")
    check(LEAF, (MIDDLE,), **{way: [revocation_list(MIDDLE, MIDDLE, ROOT)]})


def test_no_list_can_speak_of_a_negative_serial_number():
    listed = revocation_list_from_pem(revocation_list(MIDDLE, LEAF))
    with pytest.raises(CertificateError, match="negative serial number"):
        listed.revoked_at(-LEAF.certificate.serial_number)


def test_a_revoked_authority():
    assert "certificate CN=middle, O=Example was revoked" in refusal(
        LEAF, (MIDDLE,), declared=[revocation_list(MIDDLE), revocation_list(ROOT, MIDDLE)])


@pytest.mark.parametrize(("changes", "sentence"), [
    ({"next_update": NOW - DAY}, "it expired on 2027-01-14 00:00:00 UTC"),
    ({"this_update": NOW + DAY}, "it is not valid before 2027-01-16 00:00:00 UTC"),
    ({"key": ROOT.key}, "the signature (ECDSA with SHA2-256) is not that of its key"),
    ({"extensions": [(x509.DeltaCRLIndicator(1), True)]}, "a critical extension that is not known here: 2.5.29.27"),
    ({"extensions": [(x509.IssuingDistributionPoint(None, None, False, False, None, True, False), True)]},
     "a critical extension that is not known here: 2.5.29.28"),
])
def test_a_declared_list_that_cannot_be_used_is_an_error(changes, sentence):
    bad = revocation_list(MIDDLE, **changes)
    said = refusal(LEAF, (MIDDLE,), declared=[bad])
    assert said.startswith("the revocation list of CN=middle, O=Example cannot be used: ") and sentence in said
    check(LEAF, (MIDDLE,), sent=[bad])
    check(LEAF, (MIDDLE,), declared=[bad], sent=[revocation_list(MIDDLE)])
    assert "was revoked" in refusal(LEAF, (MIDDLE,), declared=[bad, revocation_list(MIDDLE, LEAF)])


def test_an_issuer_that_may_not_sign_lists():
    root = issue("CN=root", authority=True, usages=("key_cert_sign",))
    assert "lacks the signing of revocation lists" in refusal(
        issue("CN=hq", root), authorities=(root,), declared=[revocation_list(root)])


def test_the_newest_list_decides():
    old, new = (revocation_list(MIDDLE, *revoked, this_update=NOW - days * DAY)
                for revoked, days in (((LEAF,), 5), ((), 2)))
    for lists in itertools.permutations((old, new)):
        check(LEAF, (MIDDLE,), declared=lists)
    assert "was revoked" in refusal(LEAF, (MIDDLE,), declared=[old])


def test_lists_of_others_say_nothing():
    stranger = issue("CN=stranger", authority=True)
    check(LEAF, (MIDDLE,), declared=[revocation_list(stranger, LEAF, next_update=NOW - DAY)])
