# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""strongSwan takes what is rendered for it, and shows it back."""

from typing import Any

import pytest
from ansible_collections.tandem.vpn.plugins.module_utils.vpn.declaration import read
from ansible_collections.tandem.vpn.plugins.module_utils.vpn.rendering import swanctl

from tests.interop.site import CBC, PSK, Site, peer, secrets

pytestmark = pytest.mark.interop

Json = dict[str, Any]
USER = {"type": "domain-information", "value": "gw@branch.example"}
#: What changes in the gateway, the transform, the proposal and the tunnel, and what `swanctl --list-conns` shows then.
CASES: dict[str, tuple[Json, Json, Json, Json, list[str]]] = {
    "IKEv1 Main Mode, groups and ciphers of old": (
        {"ike_version": 1}, {"encryption": "3DES", "authentication": "MD5", "key_group": 2}, {"encryption": "3DES"},
        {"pfs": {"enabled": False}}, ["IKEv1"]),
    "IKEv1 Aggressive Mode, a dynamic peer": (
        {"ike_version": 1, "mode": "aggressive",
         "endpoints": [{"local": {"address": "192.0.2.2"}, "remote": {"address": "dynamic", "identifier": USER}}]},
        {}, {}, {}, ["IKEv1", "remote: %any", "id: gw@branch.example"]),
    "AH": ({}, {}, {"protocol": "AH", "encryption": "none"}, {}, ["TUNNEL"]),
    "ChaCha20-Poly1305 and curve448": (
        {}, {"encryption": "ChaCha20-Poly1305", "key_group": 32}, {"encryption": "ChaCha20-Poly1305"}, {}, ["IKEv2"]),
    "several endpoint pairs": (
        {"endpoints": [{"local": {"address": "192.0.2.2"}, "remote": {"address": "192.0.2.1"}},
                       {"local": {"address": "192.0.2.6"}, "remote": {"address": "192.0.2.5"}}]},
        {}, {}, {}, ["local:  192.0.2.6", "remote: 192.0.2.5"]),
    "a range and a host": (
        {}, {}, {}, {"routes": [{"local": "10.2.0.1", "remote": "10.1.0.5-10.1.0.9"}]},
        ["local:  10.2.0.1/32", "remote: 10.1.0.5..10.1.0.9"]),
    "an X500 name": (
        {"endpoints": [{"local": {"address": "192.0.2.2", "identifier": {"type": "x500-name",
                                                                        "value": "CN=swan, O=Example"}},
                        "remote": {"address": "192.0.2.1"}}]}, {}, {}, {}, ["id: CN=swan, O=Example"]),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_loaded_and_shown_as_declared(site: Site, case: str) -> None:
    gateway, transform, proposal, tunnel, shown = CASES[case]
    declared = peer(CBC, **gateway)
    declared["transforms"][0] = {**declared["transforms"][0], **transform}
    declared["proposals"][0] = {"name": "p2", **proposal} if proposal else declared["proposals"][0]
    declared["tunnels"][0].update(tunnel)
    rendering = swanctl.render(read(declared, secrets=secrets("tandem", PSK)))
    site.theirs.load(rendering.files[swanctl.CONFIGURATION], {**rendering.files, **rendering.secrets})
    listed = site.theirs.list_connections()
    assert "tandem:" in listed
    for words in shown:
        assert words in listed, listed
