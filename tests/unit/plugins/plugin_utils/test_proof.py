# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tunnel is proved only where both ends hold the same SAs, and those that were declared."""

import copy

import pytest
from ansible_collections.tandem.vpn.plugins.module_utils.vpn import declaration
from ansible_collections.tandem.vpn.plugins.plugin_utils.proof import explanations, prove, table


def side(name, peer, local, remote, lan, other_lan):
    return declaration.read({
        "site": {"name": name},
        "gateways": [{"name": peer, "credential": {"method": "psk", "psk": "k"},
                      "endpoints": [{"local": {"address": local}, "remote": {"address": remote}}]}],
        "tunnels": [{"name": "lan", "gateway": peer, "routes": [{"local": lan, "remote": other_lan}]}],
    })


HQ = side("hq", "branch", "192.0.2.1", "198.51.100.1", "10.1.0.0/24", "10.2.0.0/24")
BRANCH = side("branch", "hq", "198.51.100.1", "192.0.2.1", "10.2.0.0/24", "10.1.0.0/24")


def seen(peer, spi_in, spi_out, lan, other_lan):
    return {"live": {
        "gateways": [{"name": peer, "state": "established", "last_error": None, "ike": [{"suite": "AES-256"}]}],
        "tunnels": [{"name": "lan", "gateway": peer, "dataplane": "userspace", "state": "up", "last_error": None,
                     "routes": [{"declared": {"local": lan, "remote": other_lan, "direction": "both"}, "state": "up",
                                 "sas": [{"spi_in": spi_in, "spi_out": spi_out, "esp": "ESP AES-256/SHA2-256",
                                          "local": lan, "remote": other_lan}]}]}]}}


@pytest.fixture
def observed():
    return copy.deepcopy({"hq": seen("branch", "00000001", "00000002", "10.1.0.0/24", "10.2.0.0/24"),
                          "branch": seen("hq", "00000002", "00000001", "10.2.0.0/24", "10.1.0.0/24")})


def verdicts(observed, sides=None):
    return [(judged.as_dict()["both_ends"], judged.failure)
            for judged in prove(sides or {"hq": HQ, "branch": BRANCH}, observed)]


def sa_of(observed, host):
    return observed[host]["live"]["tunnels"][0]["routes"][0]["sas"][0]


def test_crosswise_spis_and_declared_selectors_prove_a_tunnel(observed):
    assert verdicts(observed) == [(True, "")]


def test_both_ends_up_with_different_sas_is_no_proof(observed):
    sa_of(observed, "branch")["spi_out"] = "00000009"
    ((_both, failure),) = verdicts(observed)
    assert "hq:lan and branch:lan are both up and hold different SAs" in failure
    assert "00000001/00000002 against 00000002/00000009" in failure


def test_selectors_narrowed_silently_are_no_proof(observed):
    sa_of(observed, "branch")["remote"] = "10.1.0.0/25"
    ((_both, failure),) = verdicts(observed)
    assert "branch:lan: the route 10.2.0.0/24 <-> 10.1.0.0/24 was narrowed by the peer" in failure


def test_a_tunnel_that_is_down_names_the_reasons_of_both_ends(observed):
    for host, reason in (("hq", "no proposal chosen"), ("branch", "no common transform")):
        observed[host]["live"]["tunnels"][0] |= {"state": "down", "routes": [], "last_error": reason}
    ((_both, failure),) = verdicts(observed)
    assert failure == "tunnel lan is not up: hq:lan: no proposal chosen; branch:lan: no common transform"


def test_each_end_of_a_tunnel_that_is_down_explains_itself(observed):
    def page(gateway, summary):
        return {"gateway": gateway, "state": "down", "since": None, "summary": summary, "negotiations": [],
                "declared": {"ike_version": 2, "mode": None, "credential": "pre-shared key", "start": "boot",
                             "endpoints": [], "transforms": [], "tunnels": []}}

    proofs = prove({"hq": HQ, "branch": BRANCH}, observed)
    assert explanations(proofs, 0) == []
    for host, gateway, summary in (("hq", "branch", "no proposal chosen"), ("branch", "hq", "no common transform")):
        observed[host]["live"]["tunnels"][0] |= {"state": "down", "routes": []}
        observed[host]["explained"] = {gateway: page(gateway, summary)}
    proofs = prove({"hq": HQ, "branch": BRANCH}, observed)
    assert [line for line in explanations(proofs, 0) if line] == [
        "branch says:", "  gateway hq: down", "    no common transform",
        "  declared: IKEv2, pre-shared key, start boot",
        "hq says:", "  gateway branch: down", "    no proposal chosen", "  declared: IKEv2, pre-shared key, start boot"]
    assert proofs[0].as_dict()["ends"]["hq"]["explained"]["summary"] == "no proposal chosen"


def test_a_daemon_that_is_silent_is_the_reason(observed):
    observed["branch"] = {"live": {}, "reason": "ikeengine is not running"}
    assert verdicts(observed) == [(True, "tunnel lan is not up: branch:lan: ikeengine is not running")]


def test_of_a_peer_that_is_not_ours_only_the_own_end_is_proved(observed):
    del observed["branch"]
    assert verdicts(observed, {"hq": HQ}) == [(False, "")]
    assert "own end only" in table(prove({"hq": HQ}, observed))[1]


def test_a_route_without_an_sa_is_no_proof(observed):
    observed["hq"]["live"]["tunnels"][0]["routes"] = []
    ((_both, failure),) = verdicts(observed)
    assert failure == "hq:lan: no SA for the route 10.1.0.0/24 <-> 10.2.0.0/24"


def test_the_table_shows_each_end(observed):
    header, hq, branch = table(prove({"hq": HQ, "branch": BRANCH}, observed))
    assert header.split()[:2] == ["TUNNEL", "HOST"]
    assert hq.split()[:3] == ["lan", "hq", "userspace"]
    assert "00000002" in branch and branch.endswith("both ends")
