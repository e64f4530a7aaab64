# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates between ikeengine and strongSwan, whoever initiates: keys and signatures, names, chains, refusals."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ansible_collections.tandem.vpn.plugins.module_utils.control import ControlError

from tests.interop.site import CHILDREN, GCM, OURS, THEIRS, Json, Site, configure, declaration, eventually
from tests.support.certificates import Issued, credential, issue, revocation_list
from tests.testbed.command import CommandFailed

pytestmark = pytest.mark.interop

ROOT = issue("C=DE, O=Example, CN=root", authority=True)
MIDDLE = issue("C=DE, O=Example, CN=middle", ROOT, authority=True)
DAY = timedelta(days=1)
NAMES = {"domain-name": ("gw.ours.example", "gw.theirs.example"), "ip-address": (OURS, THEIRS),
         "domain-information": ("gw@ours.example", "gw@theirs.example"),
         "x500-name": ("C=DE, O=Example, CN=ours", "C=DE, O=Example, CN=theirs")}
ENDS = ("ours", "theirs")
INITIATORS = pytest.mark.parametrize("initiator", ENDS)


def own(end: str, issuer: Issued = ROOT, **changes: Any) -> Issued:
    """A certificate with all four identifiers of that end."""
    place = ENDS.index(end)
    changes = {"alternative": [NAMES[kind][place] for kind in NAMES if kind != "x500-name"], **changes}
    return issue(changes.pop("subject", NAMES["x500-name"][place]), issuer, **changes)


def start(site: Site, ours: Json, theirs: Json, *, kind: str = "domain-name",
          edit: Callable[[str], str] = str) -> None:
    """Both ends with these credentials, identified by names of that kind."""
    near, far = ({"address": address, "identifier": {"type": kind, "value": name}}
                 for address, name in zip((OURS, THEIRS), NAMES[kind], strict=True))
    configure(site.theirs, GCM, edit=edit, credential=theirs, endpoints=[{"local": far, "remote": near}])
    site.ours.start(declaration(GCM, credential=ours, endpoints=[{"local": near, "remote": far}]))


def bring_up(site: Site, initiator: str) -> None:
    """Raises ControlError, CommandFailed."""
    if initiator == "ours":
        site.ours.ask("up", gateway="swan")
    else:
        for child in CHILDREN:
            site.theirs.initiate(child)


def said_theirs(site: Site) -> list[str]:
    """How both ends signed, in strongSwan's words."""
    return re.findall(r"authentication of '.*' (?:\(myself\) )?with (\S+) (?:signature )?succe", site.theirs.log)


def without_rfc_7427(site: Site) -> None:
    site.theirs.stop()
    site.theirs.settings = "signature_authentication = no"
    site.theirs.start()


PSS = "auth = ike:rsa/pss-sha384-sha256"
#: Our key, theirs, what of their configuration is changed, and how both sign in strongSwan's words.
SIGNATURES: dict[str, tuple[str, str, str, set[str]]] = {
    "RSA 2048 PKCS#1": ("RSA 2048", "RSA 2048", "", {"RSA_EMSA_PKCS1_SHA2_256", "RSA_EMSA_PSS_SHA2_256_SALT_32"}),
    "RSA 3072 PSS": ("RSA 3072", "RSA 3072", PSS, {"RSA_EMSA_PSS_SHA2_384_SALT_48", "RSA_EMSA_PSS_SHA2_256_SALT_32"}),
    "ECDSA P-256": ("ECDSA P-256", "ECDSA P-256", "", {"ECDSA_WITH_SHA256_DER"}),
    "ECDSA P-384": ("ECDSA P-384", "ECDSA P-384", "", {"ECDSA_WITH_SHA384_DER"}),
    "ECDSA P-521": ("ECDSA P-521", "ECDSA P-521", "", {"ECDSA_WITH_SHA512_DER"}),
    "Ed25519": ("Ed25519", "Ed25519", "", {"ED25519"}),
    "two kinds": ("Ed25519", "RSA 2048", "", {"ED25519", "RSA_EMSA_PKCS1_SHA2_256"}),
}


@INITIATORS
@pytest.mark.parametrize("name", SIGNATURES)
def test_every_kind_of_key_and_signature(site: Site, name: str, initiator: str) -> None:
    our_key, their_key, auth, signatures = SIGNATURES[name]
    start(site, credential(own("ours", key=our_key), ROOT), credential(own("theirs", key=their_key), ROOT),
          edit=lambda text: text.replace("auth = pubkey", auth or "auth = pubkey", 1))
    bring_up(site, initiator)
    site.carries()
    found = set(said_theirs(site))
    assert found and found <= signatures, site.theirs.log
    assert len(found) == len(signatures) or initiator == "theirs"  # as a responder we pad as the initiator does


@INITIATORS
@pytest.mark.parametrize(("key", "signature"), [
    ("RSA 2048", "RSA"), ("ECDSA P-256", "ECDSA-256"), ("ECDSA P-384", "ECDSA-384")])
def test_without_rfc_7427(site: Site, key: str, signature: str, initiator: str) -> None:
    without_rfc_7427(site)
    start(site, credential(own("ours", key=key), ROOT), credential(own("theirs", key=key), ROOT))
    bring_up(site, initiator)
    site.carries()
    assert said_theirs(site) == [signature, signature]


@INITIATORS
@pytest.mark.parametrize("kind", NAMES)
def test_every_kind_of_identifier(site: Site, kind: str, initiator: str) -> None:
    start(site, credential(own("ours"), ROOT), credential(own("theirs"), ROOT), kind=kind)
    bring_up(site, initiator)
    site.carries()
    (ike,) = site.ours.gateway["ike"]
    assert ike["remote_identity"] == NAMES[kind][1]


@INITIATORS
def test_chains_from_both_ends(site: Site, initiator: str) -> None:
    start(site, credential(own("ours", MIDDLE), ROOT, chain=[MIDDLE]),
          credential(own("theirs", MIDDLE), ROOT, chain=[MIDDLE]))
    bring_up(site, initiator)
    site.carries()


# ------------------------------------------------------------------------------------------------ refusals

YESTERDAY = datetime.now(UTC) - DAY


def _theirs_revoked() -> tuple[Json, Json]:
    theirs = own("theirs")
    return (credential(own("ours"), ROOT, crl=[revocation_list(ROOT, theirs)]), credential(theirs, ROOT))


#: Both credentials, of which theirs is not good, and what we say.
THEIRS_IS_BAD: dict[str, tuple[Callable[[], tuple[Json, Json]], str]] = {
    "revoked": (_theirs_revoked, "CN=theirs was revoked on 2020-01-01"),
    "expired": (lambda: (credential(own("ours"), ROOT), credential(own("theirs", not_after=YESTERDAY), ROOT)),
                "certificate C=DE, O=Example, CN=theirs expired on"),
    "of another name": (lambda: (credential(own("ours"), ROOT),
                                 credential(own("theirs", alternative=["gw.elsewhere.example"]), ROOT)),
                        "is not for gw.theirs.example (domain-name): its alternative names of that kind are "
                        "gw.elsewhere.example"),
    "of another authority": (lambda: (credential(own("ours"), issue("CN=another", authority=True)),
                                      credential(own("theirs"), ROOT)),
                             "CN=root, which is no declared authority"),
    "without its chain": (lambda: (credential(own("ours"), ROOT), credential(own("theirs", MIDDLE), ROOT)),
                          "CN=middle, which is no declared authority, and no certificate of it was sent"),
}


@INITIATORS
@pytest.mark.parametrize("what", THEIRS_IS_BAD)
def test_we_refuse_theirs_and_say_why(site: Site, what: str, initiator: str) -> None:
    make, sentence = THEIRS_IS_BAD[what]
    ours, theirs = make()
    start(site, ours, theirs)
    with pytest.raises((ControlError, CommandFailed)):
        bring_up(site, initiator)
    eventually(lambda: sentence in site.ours.log, site.logs)
    assert "AUTHENTICATION_FAILED" in site.ours.log
    assert sentence not in site.theirs.log
    assert not any(route["sas"] for route in site.ours.routes)


@INITIATORS
def test_they_refuse_ours(site: Site, initiator: str) -> None:
    ours = own("ours")
    start(site, credential(ours, ROOT), credential(own("theirs"), ROOT, crl=[revocation_list(ROOT, ours)]))
    with pytest.raises((ControlError, CommandFailed)):
        bring_up(site, initiator)
    eventually(lambda: "certificate was revoked" in site.theirs.log, site.logs)
    if initiator == "ours":
        assert f"the peer {THEIRS} answered AUTHENTICATION_FAILED" in site.ours.log


@INITIATORS
def test_a_pre_shared_key_and_a_certificate(site: Site, initiator: str) -> None:
    start(site, credential(own("ours"), ROOT), {"method": "psk", "psk": "correct horse battery staple 3390"})
    with pytest.raises((ControlError, CommandFailed)):
        bring_up(site, initiator)
    if initiator == "theirs":
        eventually(lambda: "has a pre-shared key, we have method certificate" in site.ours.log, site.logs)
