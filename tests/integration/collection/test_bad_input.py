# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What cannot work is found on the controller, in words that name the field, before any host is touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import MARKER, Edit, Site


def psk_of_branch(text: str) -> Edit:
    def edit(hq, branch):
        branch["ipsec_gateways"][0]["credential"]["psk"] = text
    return edit


def other_transform(hq, branch):
    branch["ipsec_transforms"][0] |= {"encryption": "3DES"}


def other_route(hq, branch):
    branch["ipsec_tunnels"][0]["routes"][0]["remote"] = "10.3.0.0/24"


def other_identity(hq, branch):
    branch["ipsec_gateways"][0]["endpoints"][0]["local"]["identifier"]["value"] = "other.example.net"


def unknown_option(hq, branch):
    hq["ipsec_tunnels"][0]["comprssion"] = True


def unknown_credential_field(hq, branch):
    hq["ipsec_gateways"][0]["credential"] = {"method": "psk", "pks": MARKER}


def credential_as_text(hq, branch):
    hq["ipsec_gateways"][0]["credential"] = f"psk={MARKER}"


def gateways_as_text(hq, branch):
    hq["ipsec_gateways"] = f"name=branch psk={MARKER}"


def bad_network(hq, branch):
    hq["ipsec_tunnels"][0]["routes"][0]["local"] = "10.1.0.5/24"


@pytest.mark.parametrize(("edit", "words"), [
    (psk_of_branch("another " + MARKER), ["hq<->", "pre-shared key"]),
    (psk_of_branch(""), ["gateways[hq].credential.psk", "is empty"]),
    (other_transform, ["hq<->branch", "AES-256", "3DES"]),
    (other_route, ["lan", "10.2.0.0/24", "10.3.0.0/24"]),
    (other_identity, ["branch.example.net", "other.example.net"]),
    (unknown_option, ["tunnels[lan].comprssion", "is unknown"]),
    (unknown_credential_field, ["gateways[branch].credential", "unknown field", "Did you mean psk"]),
    (credential_as_text, ["gateways[branch].credential"]),
    (gateways_as_text, ["gateways"]),
    (bad_network, ["tunnels[lan].routes", "10.1.0.5/24", "10.1.0.0/24"]),
], ids=lambda value: getattr(value, "__name__", None))
@pytest.mark.parametrize("mode", [[], ["--check", "--diff"]], ids=["run", "check"])
def test_it_is_found_before_any_host_is_touched(edit, words, mode, tmp_path: Path, collections: Path):
    done = Site(tmp_path / "site", collections, None, edit).play("-vvv", *mode)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "Install the daemon" not in said
    assert "/no/host/may/be/touched" not in said.partition("TASK [")[2]
    assert MARKER not in said
    for word in words:
        assert word in said
