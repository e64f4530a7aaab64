# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two daemons that authenticate each other by certificates in IKEv1: what comes up, and what is refused why."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ikeengine.ike.credentials import certified
from ikeengine.vpn.model import Side

from tests.support.certificates import Issued, credential, issue, revocation_list
from tests.support.ikev1 import branch, hq
from tests.support.virtual_network import BRANCH, EPOCH, HQ, End, agree, pair

NOW = datetime.fromtimestamp(EPOCH, UTC)
ROOT = issue("CN=root, O=Example", authority=True)
MIDDLE = issue("CN=middle, O=Example", ROOT, authority=True)
KEYS = ("RSA 2048", "RSA 3072", "ECDSA P-256", "ECDSA P-384", "ECDSA P-521")
MODES = pytest.mark.parametrize("mode", ["main", "aggressive"])
NAMES: dict[str, tuple[str, str]] = {
    "domain-name": ("hq.example", "branch.example"), "ip-address": (HQ, BRANCH),
    "domain-information": ("gw@hq.example", "gw@branch.example"),
    "x500-name": ("C=DE, O=Example, CN=hq", "C=DE, O=Example, CN=branch")}


def own(site: str, issuer: Issued = ROOT, **changes: Any) -> Issued:
    """A certificate that holds all four identifiers of the site."""
    place = ("hq", "branch").index(site)
    changes = {"alternative": [NAMES[kind][place] for kind in NAMES if kind != "x500-name"], **changes}
    return issue(changes.pop("subject", NAMES["x500-name"][place]), issuer, **changes)


def ends(left: dict[str, Any], right: dict[str, Any], kind: str = "domain-name", **gateway: Any) -> tuple[Side, Side]:
    """Both ends with these credentials; the left one initiates."""
    names = [{"type": kind, "value": value} for value in NAMES[kind]]
    here, there = ({"address": address, "identifier": name} for address, name in zip((HQ, BRANCH), names, strict=True))
    return (hq(gateway={"credential": left, "endpoints": [{"local": here, "remote": there}], **gateway}),
            branch(gateway={"credential": right, "endpoints": [{"local": there, "remote": here}], **gateway}))


def run(left: dict[str, Any], right: dict[str, Any], kind: str = "domain-name", **gateway: Any) -> tuple[End, End]:
    network, one, other = pair(*ends(left, right, kind, **gateway))
    network.start()
    network.run(2)
    return one, other


@MODES
@pytest.mark.parametrize("key", KEYS)
def test_every_kind_of_key(key, mode):
    agree(*run(credential(own("hq", key=key), ROOT), credential(own("branch", key=key), ROOT), mode=mode), routes=1)


@MODES
@pytest.mark.parametrize("kind", NAMES)
def test_every_kind_of_identifier(kind, mode):
    one, other = run(credential(own("hq"), ROOT), credential(own("branch"), ROOT), kind, mode=mode)
    agree(one, other, routes=1)
    assert [end.manager.overview.gateways()[0].ike[0].remote_identity for end in (other, one)] == list(NAMES[kind])


@MODES
def test_a_chain_travels_in_fragments(mode):
    authorities = [ROOT]
    for number in range(4):
        authorities.append(issue(f"CN=authority {number}, O=Example", authorities[-1], authority=True, key="RSA 3072"))
    chain = authorities[:0:-1]
    network, one, other = pair(*ends(credential(own("hq", authorities[-1]), ROOT, chain=chain),
                                     credential(own("branch", authorities[-1]), ROOT, chain=chain), mode=mode))
    network.start()
    network.run(2)
    agree(one, other, routes=1)
    assert all(len(datagram.data) <= 1280 - 32 for _time, datagram in network.sent)
    assert any(datagram.data[16] == 132 for _time, datagram in network.sent)


@MODES
@pytest.mark.parametrize(("changes", "reason"), [
    ({"not_after": NOW - timedelta(days=1)}, "expired"),
    ({"alternative": ["elsewhere.example"]}, "is not for branch.example"),
    ({"issuer": issue("CN=other root", authority=True)}, "other root")])
def test_what_is_not_trusted_is_refused_with_the_check_that_failed(mode, changes, reason):
    changes = dict(changes)
    issuer = changes.pop("issuer", ROOT)
    one, other = run(credential(own("hq"), ROOT), credential(own("branch", issuer, **changes), ROOT), mode=mode)
    assert not one.inbound and not other.inbound
    assert any(reason in text for text in map(str, one.reasons)), one.reasons


@MODES
def test_a_revoked_certificate_is_refused(mode):
    theirs = own("branch")
    one, other = run(credential(own("hq"), ROOT, crl=[revocation_list(ROOT, theirs)]), credential(theirs, ROOT),
                     mode=mode)
    assert not one.inbound and not other.inbound
    assert any("revoked" in text for text in map(str, one.reasons))


@MODES
def test_a_key_that_ikev1_cannot_sign_with_is_named(mode):
    one, _other = run(credential(own("hq", key="Ed25519"), ROOT), credential(own("branch"), ROOT), mode=mode)
    assert "our key is Ed25519" in str(one.reasons[0])


@MODES
def test_keys_of_two_kinds_have_no_common_method(mode):
    one, other = run(credential(own("hq", key="RSA 2048"), ROOT), credential(own("branch", key="ECDSA P-256"), ROOT),
                     mode=mode)
    assert not one.inbound and not other.inbound
    assert "the peer 192.0.2.2 offers RSA signature, we have ECDSA signature on P-256" in str(other.reasons[0])


@MODES
def test_a_key_against_a_certificate(mode):
    one, other = run({"method": "psk", "psk": "correct horse battery staple 7151"}, credential(own("branch"), ROOT),
                     mode=mode)
    assert not one.inbound and "credential" in str(other.reasons[0])


def test_a_proof_of_somebody_else_is_not_believed():
    """The certificate is the peer's, the signature another's."""
    left, right = ends(credential(own("hq"), ROOT), credential(own("branch"), ROOT))
    ours = certified(right.gateways[0].credential)
    object.__setattr__(ours, "key", certified(left.gateways[0].credential).key)
    network, one, _other = pair(left, right)
    network.start()
    network.run(2)
    assert not one.inbound
    assert any("signature" in text for text in map(str, one.reasons))
