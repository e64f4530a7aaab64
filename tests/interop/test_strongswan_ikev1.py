# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IKEv1 with strongSwan: a life of two tunnel routes in either mode, and what goes wrong, with its reason."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.tandem.vpn.plugins.module_utils.control import ControlError

from tests.interop.life import UP, come_back, live, up_from_ours, up_from_theirs
from tests.interop.site import (
    CBC,
    OURS,
    THEIRS,
    Site,
    Suite,
    configure,
    declaration,
    eventually,
    proposal,
    transform,
)
from tests.testbed.command import CommandFailed

pytestmark = pytest.mark.interop

MAIN, AGGRESSIVE = "main", "aggressive"
#: strongSwan takes Aggressive Mode with pre-shared keys on request only.
SETTINGS = "i_dont_care_about_security_and_use_aggressive_mode_psk = yes"
DES_ERA = Suite([transform("3DES", "MD5", 2)], proposal("3DES", "SHA1"), 5, "3DES/MD5/group 2", "ESP 3DES/SHA1")
GCM = Suite([transform("AES-128", "SHA1", 19)], proposal("AES-GCM-256"), 20, "AES-128/SHA1/group 19",
            "ESP AES-GCM-256")
SUITES = {"AES-256 SHA2-256 group 14": CBC, "AES-128 and AES-GCM on curves": GCM}


def begin(site: Site, suite: Suite, mode: str, *, theirs: dict[str, Any] | None = None, **gateway: Any) -> None:
    """Both ends run; ``theirs`` is what strongSwan's end has otherwise."""
    site.theirs.stop()
    site.theirs.settings = SETTINGS
    site.theirs.start()
    options = {"ike_version": 1, "mode": mode, **gateway}
    configure(site.theirs, suite, **{**options, **(theirs or {})})
    site.ours.start(declaration(suite, **options))


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("initiator", UP)
@pytest.mark.parametrize("mode", [MAIN, AGGRESSIVE])
def test_every_step_of_a_tunnels_life(site: Site, mode: str, initiator: str, suite: str) -> None:
    begin(site, SUITES[suite], mode)
    live(site, SUITES[suite], initiator, version=1)
    come_back(site)


@pytest.mark.parametrize("mode", [MAIN, AGGRESSIVE])
@pytest.mark.parametrize("initiator", UP)
def test_another_key_is_named_at_our_end(site: Site, initiator: str, mode: str) -> None:
    begin(site, CBC, mode)
    configure(site.theirs, CBC, psk="another key", ike_version=1, mode=mode)
    if initiator == "ikeengine":
        with pytest.raises(ControlError, match="credential"):
            up_from_ours(site)
    else:
        with pytest.raises(CommandFailed):
            up_from_theirs(site)
    assert "credential" in (site.ours.gateway["last_error"] or ""), site.logs()


@pytest.mark.parametrize("initiator", UP)
def test_another_group_of_pfs_fails_at_once_with_the_reason(site: Site, initiator: str) -> None:
    begin(site, CBC, MAIN)
    configure(site.theirs, Suite(CBC.transforms, CBC.proposal, 19), ike_version=1, mode=MAIN)
    if initiator == "ikeengine":
        with pytest.raises(ControlError, match=r"NO_PROPOSAL_CHOSEN.*PFS group 14"):
            up_from_ours(site)
    else:
        with pytest.raises(CommandFailed, match="NO_PROPOSAL_CHOSEN"):
            up_from_theirs(site)
        assert "the peer 192.0.2.2 has group 19, we have group 14" in site.ours.log


@pytest.mark.parametrize("theirs", [MAIN, AGGRESSIVE])
def test_main_falls_back_to_aggressive(site: Site, theirs: str) -> None:
    begin(site, CBC, "main-fallback-aggressive", theirs={"mode": theirs})
    up_from_ours(site)
    site.carries()
    assert ("parsed AGGRESSIVE request" in site.theirs.log) is (theirs == AGGRESSIVE)


def test_a_refused_mode_is_named(site: Site) -> None:
    begin(site, CBC, MAIN, theirs={"mode": AGGRESSIVE})
    with pytest.raises(CommandFailed):
        up_from_theirs(site)
    assert f"mode: the peer {THEIRS} begins aggressive, we have main" in site.ours.log


@pytest.mark.parametrize("initiator", UP)
def test_a_dead_peer_is_noticed_at_either_end(site: Site, initiator: str) -> None:
    begin(site, CBC, MAIN, dead_peer_detection={"idle": 2, "retries": 2})
    UP[initiator](site)
    site.carries()
    before = site.ours.log.count("SA removed")
    site.theirs.kill()
    eventually(lambda: "Dead Peer Detection" in site.ours.log, site.logs)
    assert site.ours.log.count("SA removed") == before + 2


def test_peers_that_idle_ask_each_other_and_stay(site: Site) -> None:
    begin(site, CBC, MAIN, dead_peer_detection={"idle": 1, "retries": 2})
    up_from_ours(site)
    before = site.carries()
    eventually(lambda: site.theirs.log.count("HASH N(DPD_ACK)") >= 6, site.logs)
    after = site.carries()
    assert (after.ike, after.spis) == (before.ike, before.spis)
    assert "generating INFORMATIONAL_V1 request" in site.theirs.log and OURS in site.theirs.log
