# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Linux host cannot carry is said before it is declared, and exactly where the daemon would say so."""

from itertools import product

import pytest
from ikeengine.daemon.status import abilities_as_json
from ikeengine.dataplane.capabilities import Capabilities
from ikeengine.dataplane.choice import choose
from ikeengine.dataplane.interface import DataPlaneError
from ikeengine.vpn import declaration, hardware, rules
from ikeengine.vpn.algorithms import authentication, encryption
from ikeengine.vpn.model import Protocol

NO_KERNEL = Capabilities(False, ("ESP (ENOSYS): this kernel is built without it", "AH"), frozenset(), frozenset(),
                         frozenset(), False, False)
NO_TUN = Capabilities(False, ("/dev/net/tun",), frozenset(), frozenset(), frozenset(), False, False)
CBC_ONLY = Capabilities(True, ("AES-GCM-256",), frozenset({Protocol.ESP}), frozenset({encryption("AES-256")}),
                        frozenset({authentication("SHA2-256")}), True, True, devices=("vti",))
NO_DEVICES = Capabilities(True, ("virtual interfaces: this kernel has no xfrm interface (EOPNOTSUPP)",),
                          frozenset({Protocol.ESP}), frozenset({encryption("AES-256"), encryption("AES-GCM-256")}),
                          frozenset({authentication("SHA2-256")}), True, True)
ALL = Capabilities(True, (), frozenset({Protocol.ESP}), frozenset({encryption("AES-256"), encryption("AES-GCM-256")}),
                   frozenset({authentication("SHA2-256")}), True, True, devices=("xfrm",))


def judged(hq, kernel, userspace):
    said = abilities_as_json({"kernel": kernel, "userspace": userspace})
    return [finding.message for finding in
            rules.against_abilities(declaration.read(hq), hardware.read_abilities(said))]


def test_a_kernel_without_esp_cannot_be_asked_for(hq):
    hq["tunnels"][0]["dataplane"] = "kernel"
    assert judged(hq, NO_KERNEL, ALL) == [
        "tunnel hq/lan: data plane: hq asks for kernel, on this host kernel lacks ESP (ENOSYS): this kernel is built "
        "without it: any of a tunnel's proposals may be the one agreed on. Set tunnels[lan].dataplane to userspace, or "
        "to auto."]
    hq["tunnels"][0]["dataplane"] = "auto"
    assert judged(hq, NO_KERNEL, ALL) == []


def test_no_data_plane_is_named_with_what_each_lacks(hq):
    hq["proposals"].append({"name": "gcm", "encryption": "AES-GCM-256"})
    hq["tunnels"][0]["proposals"] = ["p2", "gcm"]
    (message,) = judged(hq, CBC_ONLY, NO_TUN)
    assert "kernel lacks AES-GCM-256 (proposal gcm); userspace lacks /dev/net/tun" in message
    hq["tunnels"][0]["proposals"] = ["p2"]
    assert judged(hq, CBC_ONLY, NO_TUN) == []


def test_a_direction_takes_connection_tracking(hq):
    without = ALL.with_netfilter(False, ("routes with a direction: writing a table: the kernel refuses (EOPNOTSUPP)",))
    hq["tunnels"][0]["routes"][0]["direction"] = "local-to-remote"
    (message,) = judged(hq, without, without)
    assert "kernel lacks routes with a direction: writing a table: the kernel refuses (EOPNOTSUPP)" in message
    with pytest.raises(DataPlaneError, match="the kernel lacks routes with a direction: writing a table"):
        choose(declaration.read(hq).tunnels[0], without, without)
    hq["tunnels"][0]["routes"][0]["direction"] = "both"
    assert judged(hq, without, without) == []
    assert choose(declaration.read(hq).tunnels[0], without, without).name == "kernel"


def test_where_nothing_was_asked_nothing_is_said(hq):
    assert rules.against_abilities(declaration.read(hq), {}) == []


def test_a_route_based_tunnel_needs_a_device(hq):
    hq["tunnels"][0].update(interface={"name": "vpn0"}, dataplane="kernel")
    (message,) = judged(hq, NO_DEVICES, ALL)
    assert "on this host kernel lacks virtual interfaces: this kernel has no xfrm interface (EOPNOTSUPP): " in message
    del hq["tunnels"][0]["interface"]
    assert judged(hq, NO_DEVICES, ALL) == []


@pytest.mark.parametrize("interface", [None, {"name": "vpn0"}])
@pytest.mark.parametrize(("kernel", "userspace"), list(product((NO_KERNEL, CBC_ONLY, NO_DEVICES, ALL),
                                                               (NO_TUN, CBC_ONLY, ALL))))
def test_it_agrees_with_the_daemons_choice(hq, kernel, userspace, interface):
    if interface is not None:
        hq["tunnels"][0]["interface"] = interface
    hq["proposals"].append({"name": "gcm", "encryption": "AES-GCM-256"})
    verdicts = []
    for proposals, plane in product((["p2"], ["gcm"], ["p2", "gcm"]), ("auto", "kernel", "userspace")):
        hq["tunnels"][0].update(proposals=proposals, dataplane=plane)
        try:
            choose(declaration.read(hq).tunnels[0], kernel, userspace)
            carried = True
        except DataPlaneError:
            carried = False
        assert (judged(hq, kernel, userspace) == []) is carried
        verdicts.append(carried)
    assert len(verdicts) == 9
