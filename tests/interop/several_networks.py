# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several networks at either end of one tunnel: declared, loaded into strongSwan, settled on SA pairs, and pinged."""

import copy
from collections.abc import Sequence
from itertools import product

from ansible_collections.tandem.vpn.plugins.module_utils.vpn.declaration import read
from ansible_collections.tandem.vpn.plugins.module_utils.vpn.rendering import swanctl

from tests.interop.site import PINGS, PSK, ROUTES, Json, Lan, Site, answered, eventually, secrets

#: Every network here with every network there.
PRODUCT = list(product((local for local, _remote in ROUTES), (remote for _local, remote in ROUTES)))
PER_ROUTE, PER_TUNNEL = "per-route", "per-tunnel"


def declared(side: Json, sa_pairs: str, routes: Sequence[tuple[Lan, Lan]] = PRODUCT) -> Json:
    """One side, ours or strongSwan's, with these routes."""
    turned = not side["site"].get("managed", True)
    copied = copy.deepcopy(side)
    copied["tunnels"][0].update(sa_pairs=sa_pairs, routes=[
        {"local": there.network, "remote": here.network} if turned else
        {"local": here.network, "remote": there.network} for here, there in routes])
    return copied


def load(site: Site, side: Json) -> None:
    """Give strongSwan its side as it is rendered."""
    rendering = swanctl.render(read(side, secrets=secrets("tandem", PSK)))
    configuration = rendering.files[swanctl.CONFIGURATION]
    site.theirs.load(configuration, {**rendering.files, **rendering.secrets})


def pairs(site: Site) -> set[tuple[str, str]] | None:
    """The SPIs of the SA pairs that both ends hold crosswise, once every route is up; None before."""
    if any(not route["sas"] for route in site.ours.routes):
        return None
    near = {(sa["spi_in"], sa["spi_out"]) for route in site.ours.routes for sa in route["sas"]}
    far = {(child["spi-out"], child["spi-in"]) for sa in site.theirs.list_sas()
           for child in sa["child-sas"].values() if child["state"] == "INSTALLED"}
    return near if near == far else None


def settled(site: Site, number: int) -> set[tuple[str, str]]:
    """Wait until every route is up on so many SA pairs. Raises AssertionError with both logs."""
    eventually(lambda: len(pairs(site) or ()) == number, site.logs)
    return pairs(site) or set()


def carries(site: Site, routes: Sequence[tuple[Lan, Lan]] = PRODUCT) -> None:
    """Pings from both ends over every route."""
    pings = [Site.ping(namespace, source, target, PINGS, "-l", str(PINGS)) for local, remote in routes
             for namespace, source, target in ((site.ours.namespace, local.host, remote.host),
                                               (site.theirs.namespace, remote.host, local.host))]
    for ping in pings:
        assert answered(ping) == set(range(1, PINGS + 1))
