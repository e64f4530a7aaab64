# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A post-quantum pre-shared key (RFC 8784) with strongSwan: required at either end, optional, and left out."""

from typing import Any

import pytest
from ansible_collections.tandem.vpn.plugins.module_utils.control import ControlError

from tests.interop.site import CHILDREN, GCM, PSK, Site, configure, declaration, eventually
from tests.testbed.command import CommandFailed

pytestmark = pytest.mark.interop

KEY, OTHER = "0x" + "5a" * 32, "0x" + "a5" * 32


def ppk(required: bool | None, identity: str = "qkd-1", key: str = KEY) -> dict[str, Any]:
    """The credential; None is that of an end without such a key."""
    more = {} if required is None else {"ppk": {"id": identity, "required": required}, "ppk_key": key}
    return {"credential": {"method": "psk", "psk": PSK, **more}}


def start(site: Site, ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    configure(site.theirs, GCM, **theirs)
    site.ours.start(declaration(GCM, **ours))


def up(site: Site, initiator: str) -> None:
    if initiator == "ikeengine":
        site.ours.ask("up", gateway="swan")
    else:
        for child in CHILDREN:
            site.theirs.initiate(child)


@pytest.mark.parametrize("required", [(True, True), (False, True), (False, False)])
@pytest.mark.parametrize("initiator", ["ikeengine", "strongSwan"])
def test_both_have_it(site: Site, initiator: str, required: tuple[bool, bool]) -> None:
    start(site, ppk(required[0]), ppk(required[1]))
    up(site, initiator)
    begun = site.carries()
    assert site.ours.gateway["ike"][0]["suite"].endswith("/PPK")
    assert "using PPK for PPK_ID 'qkd-1'" in site.theirs.log
    site.ours.ask("rekey", gateway="swan")
    site.ours.ask("rekey", tunnel="lan")
    ours = site.carries()
    assert not ours.spis & begun.spis
    site.theirs.rekey(ike="tandem")
    eventually(lambda: site.settled().ike != ours.ike, site.logs)
    for child in CHILDREN:
        site.theirs.rekey(child=child)
    eventually(lambda: not site.settled().spis & ours.spis, site.logs)
    site.carries()
    assert KEY[2:] not in site.ours.log and "Traceback" not in site.ours.log


@pytest.mark.parametrize(("initiator", "ours", "theirs"), [
    ("ikeengine", ppk(False), ppk(None)), ("strongSwan", ppk(False), ppk(None)), ("ikeengine", ppk(None), ppk(False)),
    ("strongSwan", ppk(None), ppk(False)),
    # As a responder strongSwan refuses another identity also where it requires none, which RFC 8784 §3 leaves to it.
    ("strongSwan", ppk(False), ppk(False, "qkd-2")),
], ids=str)
def test_it_is_left_out_where_nobody_requires_it(site: Site, initiator: str, ours: dict, theirs: dict) -> None:
    start(site, ours, theirs)
    up(site, initiator)
    site.carries()
    assert not site.ours.gateway["ike"][0]["suite"].endswith("/PPK")


@pytest.mark.parametrize(("ours", "theirs"), [
    (ppk(True), ppk(None)), (ppk(None), ppk(True)), (ppk(True), ppk(True, key=OTHER)), (ppk(True), ppk(True, "qkd-2")),
], ids=["only ours", "only strongSwan's", "another key", "another identity"])
@pytest.mark.parametrize("initiator", ["ikeengine", "strongSwan"])
def test_it_fails_where_somebody_requires_what_the_other_has_not(site: Site, initiator: str, ours: dict,
                                                                 theirs: dict) -> None:
    start(site, ours, theirs)
    if initiator == "strongSwan":
        with pytest.raises(CommandFailed):
            up(site, initiator)
    else:
        with pytest.raises(ControlError, match="AUTHENTICATION_FAILED"):
            up(site, initiator)
    assert site.ours.gateway["state"] != "established"
    assert not any(sa["state"] == "ESTABLISHED" for sa in site.theirs.list_sas())
    reason = site.ours.gateway["last_error"]
    if ours["credential"].get("ppk") and reason:
        assert "post-quantum pre-shared key" in reason
    assert KEY[2:] not in site.ours.log
