# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What certificates say is held against what is declared beside them, before any peer hears of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ikeengine.__main__ import main
from ikeengine.daemon import declared
from ikeengine.vpn.declaration import DeclarationError

from tests.support.certificates import credential, issue, revocation_list

NOW = datetime(2027, 1, 15, tzinfo=UTC)
DAY = timedelta(days=1)
ROOT = issue("O=Example, CN=root", authority=True)
MIDDLE = issue("O=Example, CN=middle", ROOT, authority=True)
OWN = issue("O=Example, CN=hq", ROOT, alternative=["hq.example"])
GOOD = credential(OWN, ROOT)
Json = dict[str, Any]


@pytest.fixture
def hq() -> Json:
    return {
        "site": {"name": "hq"}, "transforms": [{"name": "p1"}], "proposals": [{"name": "p2"}],
        "gateways": [{"name": "branch", "credential": GOOD, "transforms": ["p1"],
                      "endpoints": [{"local": {"address": "192.0.2.1"}, "remote": {"address": "198.51.100.1"}}]}],
        "tunnels": [{"name": "lan", "gateway": "branch", "proposals": ["p2"],
                     "routes": [{"local": "10.1.0.0/24", "remote": "10.2.0.0/24"}]}],
    }


@pytest.fixture
def refused(hq: Json) -> Callable[..., list[str]]:
    """What the daemon says to a credential of the plain site, at a reload or when it starts."""

    def refusals(held: Json, *, reload: bool = True, **gateway: Any) -> list[str]:
        row = hq["gateways"][0]
        row["endpoints"][0]["local"]["identifier"] = {"type": "domain-name", "value": "hq.example"}
        row.update(credential=held, **gateway)
        try:
            declared.parse(hq, {"version": 1, "gateways": {}}, NOW.timestamp() if reload else None)
        except DeclarationError as error:
            assert all(finding.is_error and finding.paths[0].startswith("gateways[branch].credential")
                       for finding in error.findings)
            return [finding.message for finding in error.findings]
        return []

    return refusals


def test_good_ones(refused):
    assert refused(GOOD) == []
    chained = issue("CN=hq", MIDDLE, alternative=["HQ.example"])
    assert refused(credential(chained, ROOT, chain=[MIDDLE], crl=[revocation_list(ROOT)])) == []
    # The own one may come from anywhere: the ca are for the peer's.
    assert refused(credential(OWN, issue("CN=another", authority=True))) == []


def test_the_sentence_names_what_is_wrong_and_what_would_mend_it(refused):
    assert refused({**GOOD, "private_key": issue("CN=x").key_pem}) == [
        "gateway hq/branch: credential: the private key (ECDSA P-256) is not that of certificate O=Example, CN=hq "
        "(ECDSA P-256): the private key is that of the gateway's certificate. Set both to those of one pair."]


def nothing(label: str) -> str:
    """PEM that is whole, and holds nothing."""
    return f"-----BEGIN {label}-----\nMAA=\n-----END {label}-----\n"


WRONG: dict[str, tuple[Callable[[], Json], str, bool]] = {
    "another's key": (lambda: {**GOOD, "private_key": issue("CN=x", key="RSA 2048").key_pem},
                      "the private key (RSA 2048) is not that of certificate O=Example, CN=hq (ECDSA P-256)", False),
    "no key": (lambda: {**GOOD, "private_key": nothing("PRIVATE KEY")}, "the private key cannot be read", False),
    "no certificate": (lambda: {**GOOD, "certificate": nothing("CERTIFICATE")}, "a certificate cannot be read", False),
    "no authority's certificate": (lambda: {**GOOD, "ca": [ROOT.pem, nothing("CERTIFICATE")]},
                                   "Set gateways[branch].credential.ca[1] to another", False),
    "no list": (lambda: {**GOOD, "crl": [nothing("X509 CRL")]}, "a revocation list cannot be read", False),
    "another name": (lambda: credential(issue("CN=hq.example", ROOT, alternative=["gate.example"]), ROOT),
                     "is not for hq.example (domain-name): its alternative names of that kind are gate.example", False),
    "a chain of others": (lambda: credential(OWN, ROOT, chain=[MIDDLE]),
                          "nothing in the chain is the issuer of certificate O=Example, CN=hq", False),
    "a chain of another key": (
        lambda: credential(issue("CN=hq", issue("O=Example, CN=middle", authority=True), alternative=["hq.example"]),
                           ROOT, chain=[MIDDLE]),
        "certificate CN=hq is not issued by O=Example, CN=middle as it says", False),
    "expired": (lambda: credential(issue("CN=hq", ROOT, alternative=["hq.example"], not_after=NOW - DAY), ROOT),
                "certificate CN=hq expired on 2027-01-14 00:00:00 UTC", True),
    "not valid yet": (lambda: credential(issue("CN=hq", ROOT, alternative=["hq.example"], not_before=NOW + DAY), ROOT),
                      "certificate CN=hq is not valid before 2027-01-16", True),
    "not for signatures": (lambda: credential(issue("CN=hq", ROOT, alternative=["hq.example"],
                                                    usages=["key_encipherment"]), ROOT), "is not for signatures", True),
    "an expired authority": (lambda: credential(OWN, issue("CN=old", authority=True, not_after=NOW - DAY)),
                             "certificate CN=old expired on", True),
    "an authority that is none": (lambda: credential(OWN, OWN), "is no authority: its basic constraints do not say CA",
                                  True),
    "a stale list": (lambda: credential(OWN, ROOT, crl=[revocation_list(ROOT, next_update=NOW - DAY)]),
                     "it expired on 2027-01-14", True),
    "a list that another signed": (lambda: credential(OWN, ROOT, crl=[revocation_list(ROOT, key=MIDDLE.key)]),
                                   "is not that of its key", True),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_refused_with_its_path(what, refused):
    make, sentence, at_reload_only = WRONG[what]
    (message,) = refused(make())
    assert message.startswith("gateway hq/branch: credential: ") and sentence in message
    # Time alone keeps no daemon from starting: the other gateways are none the worse.
    assert len(refused(make(), reload=False)) == (not at_reload_only)


def test_all_of_it_is_said_at_once(refused):
    bad = credential(issue("CN=hq", ROOT, alternative=["gate.example"], not_after=NOW - DAY), OWN,
                     chain=[MIDDLE], crl=[revocation_list(ROOT, next_update=NOW - DAY)])
    assert len(refused(bad)) == 4


def test_a_list_of_nobody_who_is_declared_says_nothing(refused):
    stranger = issue("CN=stranger", authority=True)
    assert refused(credential(OWN, ROOT, crl=[revocation_list(stranger, next_update=NOW - DAY)])) == []


@pytest.mark.parametrize(("kind", "value"), [
    ("ip-address", "192.0.2.1"), ("domain-information", "gw@hq.example"), ("x500-name", "O=Example, CN=gate")])
def test_the_identifier_is_looked_for_among_those_of_its_kind(hq, kind, value):
    hq["gateways"][0]["endpoints"][0]["local"]["identifier"] = {"type": kind, "value": value}
    hq["gateways"][0]["credential"] = GOOD
    with pytest.raises(DeclarationError, match=f"(not for|than) {value}"):
        declared.parse(hq, {"version": 1, "gateways": {}}, NOW.timestamp())


def test_check_says_what_has_expired_too(hq, tmp_path, capsys):
    hq["gateways"][0]["credential"] = credential(
        issue("CN=hq", ROOT, alternative=["192.0.2.1"], not_after=datetime.now(UTC) - DAY), ROOT)
    (tmp_path / "declaration").write_text(json.dumps({"version": 1, **hq}))
    argv = ["--declaration", str(tmp_path / "declaration"), "--secrets", str(tmp_path / "none"), "--check"]
    assert main(argv) == 1
    assert "certificate CN=hq expired on" in capsys.readouterr().err


def test_no_key_is_in_any_of_it(refused):
    bad = {**GOOD, "private_key": issue("CN=x").key_pem, "certificate": issue("CN=y").pem}
    said = "".join(refused(bad))
    assert said and not any(line in said for line in bad["private_key"].splitlines()[1:-1])
