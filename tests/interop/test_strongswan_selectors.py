# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several networks in one child of either end, children narrowed, and addresses that are not known before."""

import copy
from collections.abc import Callable
from itertools import product

import pytest
from ansible_collections.tandem.vpn.plugins.module_utils.control import ControlError
from ansible_collections.tandem.vpn.plugins.module_utils.vpn.declaration import read
from ansible_collections.tandem.vpn.plugins.module_utils.vpn.rendering import swanctl

from tests.interop.site import (
    CBC,
    GCM,
    OURS,
    PINGS,
    PSK,
    ROUTES,
    THEIRS,
    Json,
    Lan,
    Site,
    answered,
    declaration,
    eventually,
    peer,
    secrets,
)

pytestmark = [pytest.mark.interop, pytest.mark.slow]

#: Every network here with every network there.
PRODUCT = list(product((local for local, _remote in ROUTES), (remote for _local, remote in ROUTES)))
PER_ROUTE, PER_TUNNEL = "per-route", "per-tunnel"


def _declared(side: Json, sa_pairs: str, routes: list[tuple[Lan, Lan]], *, turned: bool = False) -> Json:
    declared = copy.deepcopy(side)
    declared["tunnels"][0].update(sa_pairs=sa_pairs, routes=[
        {"local": there.network, "remote": here.network} if turned else
        {"local": here.network, "remote": there.network} for here, there in routes])
    return declared


def _load(site: Site, side: Json) -> None:
    rendering = swanctl.render(read(side, secrets=secrets("tandem", PSK)))
    configuration = rendering.files[swanctl.CONFIGURATION]
    site.theirs.load(configuration, {**rendering.files, **rendering.secrets})


def _pairs(site: Site) -> set[tuple[str, str]] | None:
    """The SPIs of the SA pairs that both ends hold crosswise, once every route is up; None before."""
    if any(not route["sas"] for route in site.ours.routes):
        return None
    near = {(sa["spi_in"], sa["spi_out"]) for route in site.ours.routes for sa in route["sas"]}
    far = {(child["spi-out"], child["spi-in"]) for sa in site.theirs.list_sas()
           for child in sa["child-sas"].values() if child["state"] == "INSTALLED"}
    return near if near == far else None


def _settled(site: Site, pairs: int) -> set[tuple[str, str]]:
    eventually(lambda: len(_pairs(site) or ()) == pairs, site.logs)
    return _pairs(site) or set()


def _carries(site: Site, routes: list[tuple[Lan, Lan]] = PRODUCT) -> None:
    """Pings from both ends over every route."""
    pings = [Site._ping(namespace, source, target, PINGS, "-l", str(PINGS)) for local, remote in routes
             for namespace, source, target in ((site.ours.namespace, local.host, remote.host),
                                               (site.theirs.namespace, remote.host, local.host))]
    for ping in pings:
        assert answered(ping) == set(range(1, PINGS + 1))


def _from_ours(site: Site) -> None:
    site.ours.ask("up", gateway="swan")


def _from_theirs(site: Site) -> None:
    site.theirs.initiate("lan")


@pytest.mark.parametrize("begin", [_from_ours, _from_theirs], ids=["ikeengine", "strongSwan"])
def test_all_pairs_of_networks_in_one_child(site: Site, begin: Callable[[Site], None]) -> None:
    _load(site, _declared(peer(CBC), PER_TUNNEL, PRODUCT, turned=True))
    site.ours.start(_declared(declaration(CBC), PER_TUNNEL, PRODUCT))
    begin(site)
    before = _settled(site, 1)
    _carries(site)
    site.ours.ask("rekey", tunnel="lan")
    ours = _settled(site, 1)
    assert ours != before
    _carries(site)
    site.theirs.rekey(child="lan")
    eventually(lambda: _pairs(site) not in (None, ours) and len(_pairs(site) or ()) == 1, site.logs)
    _carries(site)


def test_strongswan_grants_one_of_its_children_at_a_time_and_we_ask_for_the_rest(site: Site) -> None:
    _load(site, _declared(peer(GCM), PER_ROUTE, PRODUCT, turned=True))
    site.ours.start(_declared(declaration(GCM), PER_TUNNEL, PRODUCT))
    _from_ours(site)
    _settled(site, 4)
    _carries(site)


def test_strongswan_narrows_its_one_child_to_each_route_that_we_ask_for(site: Site) -> None:
    _load(site, _declared(peer(GCM), PER_TUNNEL, PRODUCT, turned=True))
    site.ours.start(_declared(declaration(GCM), PER_ROUTE, PRODUCT))
    _from_ours(site)
    _settled(site, 4)
    _carries(site)


def test_we_give_strongswan_what_it_proposes_together(site: Site) -> None:
    """Though by ourselves we would ask for a pair for each route."""
    _load(site, _declared(peer(GCM), PER_TUNNEL, PRODUCT, turned=True))
    site.ours.start(_declared(declaration(GCM), PER_ROUTE, PRODUCT))
    _from_theirs(site)
    _settled(site, 1)
    _carries(site)


def test_everything_is_narrowed_to_what_is_declared(site: Site) -> None:
    """A strongSwan that proposes its networks and everything gets ours."""
    side = _declared(peer(CBC), PER_TUNNEL, PRODUCT, turned=True)
    rendering = swanctl.render(read(side, secrets=secrets("tandem", PSK)))
    text = rendering.files[swanctl.CONFIGURATION].replace("remote_ts = 10.1.0.0/24, 10.1.1.0/24",
                                                          "remote_ts = 10.0.0.0/8")
    assert "10.0.0.0/8" in text
    site.theirs.load(text, {**rendering.files, **rendering.secrets, swanctl.CONFIGURATION: text})
    site.ours.start(_declared(declaration(CBC), PER_ROUTE, PRODUCT))
    _from_theirs(site)
    _settled(site, 1)
    (child,) = site.theirs.list_sas()[0]["child-sas"].values()
    assert sorted(child["remote-ts"]) == ["10.1.0.0/24", "10.1.1.0/24"]
    _carries(site)


def _ends(side: Json, here: str, there: str) -> Json:
    """The side with these addresses, and names for identifiers."""
    declared = copy.deepcopy(side)
    ours = declared["gateways"][0]["name"] == "swan"
    names = [f"{name}.example.net" for name in (("ours", "theirs") if ours else ("theirs", "ours"))]
    local, remote = ({"address": address, "identifier": {"type": "domain-name", "value": name}}
                     for address, name in zip((here, there), names, strict=True))
    declared["gateways"][0]["endpoints"] = [{"local": local, "remote": remote}]
    return declared


def test_a_strongswan_anywhere_is_known_by_its_identifier(site: Site) -> None:
    side = _ends(_declared(declaration(GCM), PER_ROUTE, ROUTES), OURS, "dynamic")
    site.ours.start(side)
    _load(site, _ends(_declared(peer(GCM), PER_ROUTE, ROUTES, turned=True), THEIRS, OURS))
    with pytest.raises(ControlError, match="the peer must initiate"):
        _from_ours(site)
    for number in range(1, len(ROUTES) + 1):
        site.theirs.initiate(f"lan-{number}")
    _settled(site, 2)
    _carries(site, list(ROUTES))
    site.ours.ask("rekey", gateway="swan")
    site.ours.ask("rekey", tunnel="lan")
    _settled(site, 2)
    _carries(site, list(ROUTES))


def test_we_reach_a_strongswan_that_does_not_know_where_we_are_nor_do_we(site: Site) -> None:
    _load(site, _ends(_declared(peer(GCM), PER_ROUTE, ROUTES, turned=True), THEIRS, "dynamic"))
    site.ours.start(_ends(_declared(declaration(GCM), PER_ROUTE, ROUTES), "dynamic", THEIRS))
    _from_ours(site)
    _settled(site, 2)
    _carries(site, list(ROUTES))
    assert site.ours.gateway["ike"][0]["local"].startswith(f"{OURS}:")
