# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Both ends of a VPN of IKEv1, as `virtual_network` has them of IKEv2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ikeengine.vpn.model import Side

from tests.support import virtual_network

TRANSFORM = {**virtual_network.TRANSFORM, "key_group": 14}
PROPOSAL = {"name": "p2", "protocol": "ESP", "encryption": "AES-256", "authentication": "SHA2-256",
            "force_key_expiration": {"time": "8h"}}
PFS = {"enabled": True, "key_group": 14}


def _options(changes: Mapping[str, Any], gateway: Mapping[str, Any]) -> dict[str, Any]:
    return {"transforms": (TRANSFORM,), "proposals": (PROPOSAL,), "pfs": PFS, **changes,
            "gateway": {"ike_version": 1, **gateway}}


def hq(*, gateway: Mapping[str, Any] | None = None, **changes: Any) -> Side:
    return virtual_network.hq(**_options(changes, gateway or {}))


def branch(*, gateway: Mapping[str, Any] | None = None, **changes: Any) -> Side:
    return virtual_network.branch(**_options({"start": "answer", **changes}, gateway or {}))
