# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the daemon does not take though it is well declared: the host lacks what it needs."""

from __future__ import annotations

import pytest
from ikeengine.daemon import declared
from ikeengine.vpn.declaration import DeclarationError
from ikeengine.vpn.rules import by_itself

KEY = "correct horse battery staple 7151"


def hybrid() -> dict:
    return {
        "site": {"name": "hq"},
        "transforms": [{"name": "p1", "key_group": 31, "additional_key_exchange": "ML-KEM-768"}],
        "gateways": [{"name": "branch", "credential": {"method": "psk", "psk": KEY}, "transforms": ["p1"],
                      "endpoints": [{"local": {"address": "192.0.2.1"}, "remote": {"address": "198.51.100.1"}}]}],
        "tunnels": [{"name": "lan", "gateway": "branch", "routes": [{"local": "10.1.0.0/24", "remote": "10.2.0.0/24"}],
                     "pfs": {"key_group": 31, "additional_key_exchange": "ML-KEM-1024"}}],
    }


def test_what_the_library_has_is_taken() -> None:
    side = declared.parse(hybrid(), {"version": 1, "gateways": {}}).side
    assert [finding for finding in by_itself(side) if finding.is_error] == []


@pytest.mark.parametrize(("lacking", "paths"), [
    ({"ML-KEM-768"}, ["transforms[p1].additional_key_exchange"]),
    ({"ML-KEM-768", "ML-KEM-1024"}, ["transforms[p1].additional_key_exchange",
                                     "tunnels[lan].pfs.additional_key_exchange"]),
])
def test_an_additional_key_exchange_that_the_library_lacks_is_refused(
        monkeypatch: pytest.MonkeyPatch, lacking: set[str], paths: list[str]) -> None:
    monkeypatch.setattr(declared, "is_supported", lambda row: row.name not in lacking)
    with pytest.raises(DeclarationError) as caught:
        declared.parse(hybrid(), {"version": 1, "gateways": {}})
    assert [finding.left_path for finding in caught.value.findings] == paths
    assert caught.value.findings[0].message == (
        "gateway hq/branch: additional key exchange: hq asks for ML-KEM-768, this host's Python package cryptography "
        "lacks it: nothing else computes it there. Have the role bring its own packages, or set "
        "transforms[p1].additional_key_exchange to none at both ends.")
