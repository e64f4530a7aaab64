# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A hub and its spokes, each with an address, an identity and a tunnel of its own, in the words of every party."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

HUB = "192.0.2.1"
SPOKES = "10.128.0.0/16"
"""Spoke 1 has its first address, and 65,535 its last."""
NOWHERE = "10.129.0.0/16"
"""Where spokes from number 65,537 on would be: nobody receives what is sent there."""
PSK = "correct horse battery staple 2718"
LAN, OTHER_LAN = "10.1.0.0/24", "10.1.1.0/24"
LANS = "10.64.0.0/16"
"""Each spoke has one address of it behind itself."""
_FIRST_SPOKE, _FIRST_LAN = 0x0A800000, 0x0A400000

Json = dict[str, Any]


@dataclass(frozen=True)
class Suite:
    """AES-256 with SHA2-256 in both phases, and one key group in Phase 1; PFS plays no part in a first child."""

    name: str
    group: int
    version: int = 2
    swan: str = ""

    @property
    def swan_proposal(self) -> str:
        return f"aes256-sha256-{self.swan or self.name}"


def _dotted(address: int) -> str:
    return ".".join(str(octet) for octet in address.to_bytes(4, "big"))


def address(spoke: int) -> str:
    return _dotted(_FIRST_SPOKE + spoke)


def hub(suite: Suite, spokes: Iterable[int], start: str = "answer") -> Json:
    """The hub's declaration: a gateway for each spoke."""
    return _declared("hub", suite, [(f"spoke{number}", HUB, address(number), LAN, _lan(number))
                                    for number in spokes], start)


def load(suite: Suite, spokes: Iterable[int]) -> Json:
    """All spokes in one declaration, as no host has it: the local addresses of its gateways are many."""
    return _declared("load", suite, [(f"spoke{number}", address(number), HUB, _lan(number), LAN)
                                     for number in spokes], "answer")


def keys(spokes: Iterable[int]) -> Json:
    return {"version": 1, "gateways": {f"spoke{number}": {"method": "psk", "psk": PSK}
                                       for number in spokes}}


def swanctl(suite: Suite) -> str:
    """The hub in strongSwan's words: one connection that takes every spoke, which is the least that it can hold."""
    return f"""\
connections {{
  any {{
    version = {suite.version}
    local_addrs = {HUB}
    remote_addrs = %any
    proposals = {suite.swan_proposal}
    unique = never
    mobike = no
    dpd_delay = 0
    local {{
      auth = psk
      id = {HUB}
    }}
    remote {{
      auth = psk
      id = %any
    }}
    children {{
      lan {{
        local_ts = {LAN}
        remote_ts = {LANS}
        esp_proposals = aes256-sha256
      }}
    }}
  }}
}}
secrets {{
  ike {{
    secret = "{PSK}"
  }}
}}
"""


def _lan(spoke: int) -> str:
    return f"{_dotted(_FIRST_LAN + spoke)}/32"


def _declared(site: str, suite: Suite, rows: list[tuple[str, str, str, str, str]], start: str) -> Json:
    return {
        "version": 1, "site": {"name": site},
        "transforms": [{"name": "p1", "authentication": "SHA2-256", "encryption": "AES-256",
                        "key_group": suite.group}],
        "proposals": [{"name": "p2", "protocol": "ESP", "encryption": "AES-256", "authentication": "SHA2-256"}],
        "gateways": [{"name": name, "ike_version": suite.version, "credential": {"method": "psk"},
                      "endpoints": [{"local": {"address": local}, "remote": {"address": remote}}],
                      "transforms": ["p1"], "start": start} for name, local, remote, _here, _there in rows],
        "tunnels": [{"name": f"to-{name}", "gateway": name, "proposals": ["p2"], "dataplane": "userspace",
                     "pfs": {"enabled": False}, "routes": [{"local": here, "remote": there}]}
                    for name, _local, _remote, here, there in rows],
    }
