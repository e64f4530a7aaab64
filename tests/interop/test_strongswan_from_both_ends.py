# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two strongSwans, each with what is rendered for it: the rendering is held against itself, without any of ours."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.tandem.vpn.plugins.module_utils.vpn import rules
from ansible_collections.tandem.vpn.plugins.module_utils.vpn.declaration import read
from ansible_collections.tandem.vpn.plugins.module_utils.vpn.rendering import swanctl

from tests.interop.certificates import issue, revocation_list
from tests.interop.site import OURS, ROUTES, THEIRS, Site, eventually
from tests.testbed.command import CommandFailed
from tests.testbed.strongswan import Charon

pytestmark = pytest.mark.interop

Json = dict[str, Any]
PSK = 'q"uo\'te {brace} } # hash = \\ \n new $line \u00fc'
ELSEWHERE = "192.0.2.99"
ROAD = {"type": "domain-name", "value": "road.example"}
AGGRESSIVE = "i_dont_care_about_security_and_use_aggressive_mode_psk = yes"


class Ends:
    """``hq`` initiates, ``branch`` answers, unless a test says otherwise."""

    def __init__(self, hq: Charon, branch: Charon) -> None:
        self.hq, self.branch = hq, branch

    def load(self, hq: Json, branch: Json) -> None:
        """Validated against each other, then loaded as rendered."""
        assert rules.validate([read(hq), read(branch)]).errors == ()
        for charon, declared in ((self.hq, hq), (self.branch, branch)):
            load(charon, declared)

    def up(self) -> Json:
        """The IKE SA that hq made, which carries the tunnel at both ends."""
        self.hq.initiate("lan")
        (near,), (far,) = self.hq.list_sas(), self.branch.list_sas()
        assert [sa["state"] for sa in (*near["child-sas"].values(), *far["child-sas"].values())] == 2 * ["INSTALLED"]
        return near


def load(charon: Charon, declared: Json) -> None:
    rendering = swanctl.render(read(declared))
    charon.load(rendering.files[swanctl.CONFIGURATION], {**rendering.files, **rendering.secrets})


@pytest.fixture
def ends(site: Site) -> Iterator[Ends]:
    """In the place of ikeengine, which these tests do not start, a second strongSwan."""
    site.ours.directory.mkdir()
    with Charon(site.ours.namespace, site.ours.directory, detail=1) as charon:
        yield Ends(charon, site.theirs)


def declared(name: str, other: str, *pairs: Json, **gateway: Any) -> Json:
    local, remote = ROUTES[0] if name == "hq" else reversed(ROUTES[0])
    return {"site": {"name": name, "managed": False},
            "gateways": [{"name": other, "credential": {"method": "psk", "psk": PSK}, "endpoints": list(pairs),
                          "start": "traffic" if name == "hq" else "answer", **gateway}],
            "tunnels": [{"name": "lan", "gateway": other,
                         "routes": [{"local": local.network, "remote": remote.network}]}]}


def pair(local: str, remote: str, mine: Json | None = None, theirs: Json | None = None) -> Json:
    return {"local": {"address": local, **({"identifier": mine} if mine else {})},
            "remote": {"address": remote, **({"identifier": theirs} if theirs else {})}}


def both(**gateway: Any) -> tuple[Json, Json]:
    return (declared("hq", "branch", pair(OURS, THEIRS), **gateway),
            declared("branch", "hq", pair(THEIRS, OURS), **gateway))


@pytest.mark.parametrize(("gateway", "version"), [
    ({}, "2"), ({"ike_version": 1}, "1"), ({"ike_version": 1, "mode": "aggressive"}, "1")],
    ids=["IKEv2", "Main Mode", "Aggressive Mode"])
def test_a_key_of_any_characters_is_the_same_at_both_ends(ends: Ends, gateway: Json, version: str) -> None:
    if "mode" in gateway:  # as the rendering says that it is to be set
        ends.branch.stop()
        ends.branch.settings = AGGRESSIVE
        ends.branch.start()
    ends.load(*both(**gateway))
    assert ends.up()["version"] == version


def certified(*, x500: bool, revoked: bool = False, **gateway: Any) -> tuple[Json, Json]:
    root = issue("root", authority=True)
    authority = issue("authority", root, authority=True)
    owns = {name: issue(name, authority) for name in ("hq", "branch")}

    def identity(name: str) -> Json:
        if x500:
            return {"type": "x500-name", "value": rf"CN={name}, O=Example\, Inc."}
        return {"type": "domain-name", "value": f"{name}.example"}

    def credential(name: str) -> Json:
        return {"method": "certificate", "certificate": owns[name].pem, "private_key": owns[name].key_pem,
                "ca": [root.pem], "chain": [authority.pem],
                "crl": [revocation_list(authority, *([owns["hq"]] if revoked else []))]}

    return tuple(  # type: ignore[return-value]
        declared(name, other, pair(local, remote, identity(name), identity(other)), credential=credential(name),
                 **gateway)
        for name, other, local, remote in (("hq", "branch", OURS, THEIRS), ("branch", "hq", THEIRS, OURS)))


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("x500", [False, True], ids=["domain name", "X500 name"])
def test_certificates_through_a_chain(ends: Ends, x500: bool, version: int) -> None:
    ends.load(*certified(x500=x500, ike_version=version))
    sa = ends.up()
    assert (sa["version"], sa["remote-id"]) == (str(version), "CN=branch, O=Example, Inc." if x500 else
                                                "branch.example")


def test_a_revoked_certificate_is_refused(ends: Ends) -> None:
    ends.load(*certified(x500=False, revoked=True))
    with pytest.raises(CommandFailed, match="AUTHENTICATION_FAILED"):
        ends.up()
    assert "certificate was revoked" in ends.branch.log


@pytest.mark.parametrize("start", ["boot", "traffic", "answer"])
def test_a_dynamic_peer_is_answered_and_never_called(ends: Ends, start: str) -> None:
    ends.load(declared("hq", "branch", pair("dynamic", THEIRS, mine=ROAD)),
              declared("branch", "hq", pair(THEIRS, "dynamic", theirs=ROAD), start=start))
    ends.up()
    assert "aborted" not in ends.branch.log and "trap failed" not in ends.branch.log


def test_who_comes_by_the_second_endpoint_pair_is_known_by_its_identities(ends: Ends) -> None:
    first, second = ([{"type": "domain-name", "value": f"{name}-{number}.example"} for name in ("hq", "branch")]
                     for number in (1, 2))
    load(ends.hq, declared("hq", "branch", pair(OURS, THEIRS, *second)))
    load(ends.branch, declared("branch", "hq", pair("192.0.2.98", ELSEWHERE, *reversed(first)),
                               pair(THEIRS, OURS, *reversed(second))))
    sa = ends.up()
    assert (sa["local-id"], sa["remote-id"]) == ("hq-2.example", "branch-2.example")


@pytest.mark.slow
def test_who_starts_at_boot_meets_a_peer_that_comes_up_later(ends: Ends) -> None:
    """Its first attempt is over after the 12 seconds that the test bed's strongSwan retransmits."""
    hq, branch = both()
    hq["gateways"][0]["start"] = "boot"
    ends.branch.stop()
    load(ends.hq, hq)
    time.sleep(16)
    assert "peer not responding, trying again" in ends.hq.log
    ends.branch.start()
    load(ends.branch, branch)
    eventually(lambda: any(sa["child-sas"] for sa in ends.branch.list_sas()), lambda: ends.hq.log, seconds=30)


@pytest.mark.parametrize("name", ["include", "a.b", "-", "7"])
def test_any_name_of_ours_makes_a_connection_and_a_child(ends: Ends, name: str) -> None:
    branch = declared("branch", name, pair(THEIRS, OURS))
    branch["tunnels"][0]["name"] = name
    load(ends.branch, branch)
    listed = ends.branch.list_connections()
    assert listed.count("remote: 192.0.2.1\n") == 1 and listed.count("TUNNEL") == 1, listed
