# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several networks in one child of either end, children narrowed, and addresses that are not known before."""

import copy
from collections.abc import Callable

import pytest
from ansible_collections.tandem.vpn.plugins.module_utils.control import ControlError
from ansible_collections.tandem.vpn.plugins.module_utils.vpn.declaration import read
from ansible_collections.tandem.vpn.plugins.module_utils.vpn.rendering import swanctl

from tests.interop.several_networks import PER_ROUTE, PER_TUNNEL, carries, declared, load, pairs, settled
from tests.interop.site import CBC, GCM, OURS, PSK, ROUTES, THEIRS, Json, Site, declaration, eventually, peer, secrets

pytestmark = [pytest.mark.interop, pytest.mark.slow]


def _from_ours(site: Site) -> None:
    site.ours.ask("up", gateway="swan")


def _from_theirs(site: Site) -> None:
    site.theirs.initiate("lan")


@pytest.mark.parametrize("begin", [_from_ours, _from_theirs], ids=["ikeengine", "strongSwan"])
def test_all_pairs_of_networks_in_one_child(site: Site, begin: Callable[[Site], None]) -> None:
    load(site, declared(peer(CBC), PER_TUNNEL))
    site.ours.start(declared(declaration(CBC), PER_TUNNEL))
    begin(site)
    before = settled(site, 1)
    carries(site)
    site.ours.ask("rekey", tunnel="lan")
    ours = settled(site, 1)
    assert ours != before
    carries(site)
    site.theirs.rekey(child="lan")
    eventually(lambda: pairs(site) not in (None, ours) and len(pairs(site) or ()) == 1, site.logs)
    carries(site)


def test_strongswan_grants_one_of_its_children_at_a_time_and_we_ask_for_the_rest(site: Site) -> None:
    load(site, declared(peer(GCM), PER_ROUTE))
    site.ours.start(declared(declaration(GCM), PER_TUNNEL))
    _from_ours(site)
    settled(site, 4)
    carries(site)


def test_strongswan_narrows_its_one_child_to_each_route_that_we_ask_for(site: Site) -> None:
    load(site, declared(peer(GCM), PER_TUNNEL))
    site.ours.start(declared(declaration(GCM), PER_ROUTE))
    _from_ours(site)
    settled(site, 4)
    carries(site)


def test_we_give_strongswan_what_it_proposes_together(site: Site) -> None:
    """Though by ourselves we would ask for a pair for each route."""
    load(site, declared(peer(GCM), PER_TUNNEL))
    site.ours.start(declared(declaration(GCM), PER_ROUTE))
    _from_theirs(site)
    settled(site, 1)
    carries(site)


def test_everything_is_narrowed_to_what_is_declared(site: Site) -> None:
    """A strongSwan that proposes its networks and everything gets ours."""
    side = declared(peer(CBC), PER_TUNNEL)
    rendering = swanctl.render(read(side, secrets=secrets("tandem", PSK)))
    text = rendering.files[swanctl.CONFIGURATION].replace("remote_ts = 10.1.0.0/24, 10.1.1.0/24",
                                                          "remote_ts = 10.0.0.0/8")
    assert "10.0.0.0/8" in text
    site.theirs.load(text, {**rendering.files, **rendering.secrets, swanctl.CONFIGURATION: text})
    site.ours.start(declared(declaration(CBC), PER_ROUTE))
    _from_theirs(site)
    settled(site, 1)
    (child,) = site.theirs.list_sas()[0]["child-sas"].values()
    assert sorted(child["remote-ts"]) == ["10.1.0.0/24", "10.1.1.0/24"]
    carries(site)


def _ends(side: Json, here: str, there: str) -> Json:
    """The side with these addresses, and names for identifiers."""
    changed = copy.deepcopy(side)
    ours = changed["gateways"][0]["name"] == "swan"
    names = [f"{name}.example.net" for name in (("ours", "theirs") if ours else ("theirs", "ours"))]
    local, remote = ({"address": address, "identifier": {"type": "domain-name", "value": name}}
                     for address, name in zip((here, there), names, strict=True))
    changed["gateways"][0]["endpoints"] = [{"local": local, "remote": remote}]
    return changed


def test_a_strongswan_anywhere_is_known_by_its_identifier(site: Site) -> None:
    side = _ends(declared(declaration(GCM), PER_ROUTE, ROUTES), OURS, "dynamic")
    site.ours.start(side)
    load(site, _ends(declared(peer(GCM), PER_ROUTE, ROUTES), THEIRS, OURS))
    with pytest.raises(ControlError, match="the peer must initiate"):
        _from_ours(site)
    for number in range(1, len(ROUTES) + 1):
        site.theirs.initiate(f"lan-{number}")
    settled(site, 2)
    carries(site, ROUTES)
    site.ours.ask("rekey", gateway="swan")
    site.ours.ask("rekey", tunnel="lan")
    settled(site, 2)
    carries(site, ROUTES)


def test_we_reach_a_strongswan_that_does_not_know_where_we_are_nor_do_we(site: Site) -> None:
    load(site, _ends(declared(peer(GCM), PER_ROUTE, ROUTES), THEIRS, "dynamic"))
    site.ours.start(_ends(declared(declaration(GCM), PER_ROUTE, ROUTES), "dynamic", THEIRS))
    _from_ours(site)
    settled(site, 2)
    carries(site, ROUTES)
    assert site.ours.gateway["ike"][0]["local"].startswith(f"{OURS}:")
