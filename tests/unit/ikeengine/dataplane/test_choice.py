# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which data plane a tunnel gets, and what an operator reads when it can have none."""

from __future__ import annotations

import pytest
from ikeengine.dataplane.capabilities import Capabilities
from ikeengine.dataplane.choice import choose
from ikeengine.dataplane.interface import DataPlaneError
from ikeengine.vpn import algorithms
from ikeengine.vpn.model import DataPlaneChoice, Expiration, Proposal, Protocol, Route, Tunnel
from ikeengine.vpn.selectors import Selector

EVERYTHING = Capabilities(True, (), frozenset(Protocol), frozenset(algorithms.ENCRYPTIONS),
                          frozenset(algorithms.AUTHENTICATIONS), True, True)
ESP_ONLY = Capabilities(True, ("AH: packets travel in UDP, and only ESP does (RFC 3948)",),
                        frozenset({Protocol.ESP}), frozenset(algorithms.ENCRYPTIONS),
                        frozenset(algorithms.AUTHENTICATIONS), True, True)
WITHOUT_CHACHA = Capabilities(True, ("ChaCha20-Poly1305",), frozenset(Protocol),
                              frozenset(algorithms.ENCRYPTIONS) - {algorithms.encryption("ChaCha20-Poly1305")},
                              frozenset(algorithms.AUTHENTICATIONS), True, True)
NOTHING = Capabilities(False, ("ESP (ENOSYS): this kernel is built without it", "AH"), frozenset(), frozenset(),
                       frozenset(), False, False)
NO_TUN = Capabilities(False, ("/dev/net/tun",), frozenset(), frozenset(), frozenset(), False, False)


def tunnel(wanted: str = "auto", encryption: str | None = "AES-256", protocol: Protocol = Protocol.ESP) -> Tunnel:
    proposal = Proposal("p2", protocol, algorithms.authentication("SHA2-256"),
                        algorithms.encryption(encryption) if encryption else None, Expiration(28800, None))
    route = Route(Selector.parse("10.1.0.0/24"), Selector.parse("10.2.0.0/24"))
    return Tunnel("lan", "branch", (route,), (proposal,), None, DataPlaneChoice(wanted))


def test_auto_takes_the_kernel_where_it_can():
    assert choose(tunnel(), EVERYTHING, ESP_ONLY).name == "kernel"


def test_auto_says_why_it_takes_userspace():
    choice = choose(tunnel(), NOTHING, ESP_ONLY)
    assert (choice.name, choice.reason) == (
        "userspace", "the kernel lacks ESP (ENOSYS): this kernel is built without it")
    chacha = choose(tunnel(encryption="ChaCha20-Poly1305"), WITHOUT_CHACHA, ESP_ONLY)
    assert (chacha.name, chacha.reason) == ("userspace", "the kernel lacks ChaCha20-Poly1305 (proposal p2)")


def test_what_is_asked_for_is_taken_or_refused_with_what_is_missing():
    assert choose(tunnel("userspace"), EVERYTHING, ESP_ONLY).name == "userspace"
    with pytest.raises(DataPlaneError, match=r"^tunnel lan: dataplane: kernel cannot serve it here, for want of ESP "
                       r"\(ENOSYS\): this kernel is built without it; dataplane: userspace can$"):
        choose(tunnel("kernel"), NOTHING, ESP_ONLY)
    with pytest.raises(DataPlaneError, match=r"for want of ESP \(ENOSYS\): this kernel is built without it; AH$"):
        choose(tunnel("kernel", None, Protocol.AH), NOTHING, ESP_ONLY)
    with pytest.raises(DataPlaneError, match=r"userspace cannot serve it here, for want of AH: packets travel in "
                       r"UDP, and only ESP does \(RFC 3948\) \(proposal p2\)"):
        choose(tunnel("userspace", None, Protocol.AH), EVERYTHING, ESP_ONLY)


def test_where_neither_can_serve_both_say_why():
    with pytest.raises(DataPlaneError, match=r"no data plane can serve it here: the kernel lacks ESP .*; "
                       r"userspace lacks /dev/net/tun"):
        choose(tunnel(), NOTHING, NO_TUN)


def test_the_port_is_named_where_nothing_else_is_in_the_way():
    assert choose(tunnel(), EVERYTHING, ESP_ONLY, port_encapsulates=False).reason == (
        "the kernel cannot have the NAT traversal port of this address, which a userspace tunnel has")
    assert choose(tunnel(), NOTHING, ESP_ONLY, port_encapsulates=False).reason == (
        "the kernel lacks ESP (ENOSYS): this kernel is built without it")
    with pytest.raises(DataPlaneError, match=r"^tunnel lan: no data plane can serve it here: the kernel cannot have "
                       r"the NAT traversal port of this address, which a userspace tunnel has; userspace lacks AH: "
                       r"packets travel in UDP, and only ESP does \(RFC 3948\) \(proposal p2\)$"):
        choose(tunnel("auto", None, Protocol.AH), EVERYTHING, ESP_ONLY, port_encapsulates=False)


def test_the_two_never_share_a_nat_traversal_port():
    assert choose(tunnel(), EVERYTHING, ESP_ONLY, port_encapsulates=False).name == "userspace"
    assert choose(tunnel(), EVERYTHING, ESP_ONLY, port_encapsulates=True).name == "kernel"
    with pytest.raises(DataPlaneError, match="NAT traversal port of this address, which a kernel tunnel has"):
        choose(tunnel("userspace"), EVERYTHING, ESP_ONLY, port_encapsulates=True)
