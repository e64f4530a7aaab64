# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What differs between ikeengine and strongSwan is told, whoever initiates; what can be settled is settled."""

from dataclasses import replace

import pytest
from ansible_collections.tandem.vpn.plugins.module_utils.control import ControlError

from tests.interop.site import (
    CBC,
    GCM,
    PSK,
    Site,
    Suite,
    configure,
    declaration,
    eventually,
    in_one_child,
    proposal,
    transform,
)
from tests.testbed.command import CommandFailed

pytestmark = pytest.mark.interop

OTHER_PSK = "battery staple horse correct 0412"
#: (ours, theirs, their key, our reason as the initiator, as the responder)
CASES: dict[str, tuple[Suite, Suite, str, str, str]] = {
    "pre-shared key": (
        GCM, GCM, OTHER_PSK,
        "it expects another pre-shared key, or other identifiers",
        "has one pre-shared key, we have another: the keys must be equal"),
    "phase 1": (
        CBC, GCM, PSK,
        "answered NO_PROPOSAL_CHOSEN, we offered AES-256/SHA2-256/group 14: it has no transform like these",
        "offers AES-GCM-256, SHA2-384 and group 31, we have AES-256, SHA2-256 and group 14: no common transform"),
    "phase 2": (
        replace(GCM, proposal=proposal("AES-256", "SHA2-256")), GCM, PSK,
        "answered NO_PROPOSAL_CHOSEN, we offered ESP AES-256/SHA2-256: it has no proposal like these",
        "offers AES-GCM-128 and no authentication, we have AES-256 and SHA2-256: no common proposal"),
}


@pytest.mark.parametrize("case", CASES)
def test_no_agreement_comes_with_our_reason_whoever_initiates(site: Site, case: str) -> None:
    suite, other, psk, as_initiator, as_responder = CASES[case]
    configure(site.theirs, other, psk=psk)
    site.ours.start(declaration(suite))
    with pytest.raises(CommandFailed):
        site.theirs.initiate("lan-1", timeout=5)
    eventually(lambda: as_responder in site.ours.log, lambda: site.ours.log)
    if site.theirs.list_sas():  # the IKE SA stands where only its child was refused
        site.theirs.terminate(ike="tandem")
    with pytest.raises(ControlError) as refused:
        site.ours.ask("up", gateway="swan")
    assert refused.value.code == "negotiation_failed" and as_initiator in str(refused.value)
    if case == "phase 2":  # of a tunnel's negotiations the last is kept: the second route's, which follows at once
        as_initiator = "PFS group 31: it has no proposal like these with that PFS"
    eventually(lambda: as_initiator in site.ours.log, lambda: site.ours.log)
    explained = str(site.ours.ask("explain", gateway="swan"))
    assert as_initiator in explained and as_responder in explained
    assert not any(route["sas"] for route in site.ours.routes)
    for secret in (PSK, OTHER_PSK):
        assert secret not in site.ours.log + explained + str(site.ours.ask("status"))


def test_another_pfs_group_shows_after_the_first_route_which_goes_on(site: Site) -> None:
    """The first child SA has no key exchange of its own (RFC 7296 section 1.2)."""
    configure(site.theirs, GCM)
    site.ours.start(declaration(replace(GCM, pfs=14)))
    for command in ({"command": "up", "gateway": "swan"}, {"command": "rekey", "tunnel": "lan"}):
        with pytest.raises(ControlError, match="it has no proposal like these with that PFS"):
            site.ours.ask(**command)
    site.carries(routes=1)


def test_strongswan_corrects_the_group_that_we_guessed(site: Site) -> None:
    """INVALID_KE_PAYLOAD from strongSwan in IKE_SA_INIT (RFC 7296 section 1.2)."""
    both = [transform("AES-GCM-256", "SHA2-384", group) for group in (14, 31)]
    configure(site.theirs, GCM)
    site.ours.start(declaration(replace(GCM, transforms=both)))
    site.ours.ask("up", gateway="swan")
    site.carries()
    assert site.ours.gateway["ike"][0]["suite"] == GCM.ike
    assert "N(INVAL_KE)" in site.theirs.log


def test_we_correct_the_group_that_strongswan_guessed(site: Site) -> None:
    """INVALID_KE_PAYLOAD from us in IKE_SA_INIT and in CREATE_CHILD_SA (RFC 7296 sections 1.2 and 1.3)."""
    configure(site.theirs, GCM, edit=lambda text: text.replace(
        "prfsha384-curve25519", "prfsha384-modp2048-curve25519").replace(
        "aes128gcm16-curve25519", "aes128gcm16-ecp256-curve25519"))
    site.ours.start(declaration(GCM))
    site.theirs.initiate("lan-1")
    assert site.theirs.log.count("N(INVAL_KE)") == 1
    assert site.ours.gateway["ike"][0]["suite"] == GCM.ike
    site.theirs.initiate("lan-2")
    assert site.theirs.log.count("N(INVAL_KE)") == 2
    before = site.carries()
    site.theirs.rekey(child="lan-1")
    eventually(lambda: site.settled().spis != before.spis, site.logs)
    site.carries()


def test_both_routes_in_one_child_of_strongswans_become_one_pair_each(site: Site) -> None:
    """A route is an SA pair with us; what strongSwan proposes together is narrowed (RFC 7296 section 2.9)."""
    configure(site.theirs, CBC, edit=in_one_child)
    site.ours.start(declaration(CBC))
    site.theirs.initiate("lan-1")
    site.carries(routes=1)
    site.ours.ask("up", tunnel="lan")
    before = site.carries()
    site.ours.ask("rekey", tunnel="lan")
    assert not site.carries().spis & before.spis
    site.ours.ask("down", gateway="swan")
    site.ours.ask("up", gateway="swan")
    site.carries()
