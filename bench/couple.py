# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two gateways with a tunnel between them, in the words of either daemon, whose ESP is in userspace at both ends."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.hub import PSK, Json
from bench.responders import Ikeengine, LoopWatch, put_first
from tests.testbed.network import Namespace
from tests.testbed.strongswan import LIBIPSEC, LOADED, Charon

ADDRESSES = ("192.0.2.1", "192.0.2.2")
LANS = ("10.1.0.0/24", "10.2.0.0/24")
HOSTS = ("10.1.0.1", "10.2.0.1")
_UP_SECONDS = 20


@dataclass(frozen=True)
class Suite:
    """Phase 2's algorithms, in our names and in strongSwan's."""

    name: str
    encryption: str
    authentication: str | None
    swan: str


class OurCouple:
    """ikeengine at both ends."""

    name = "ours"

    def __init__(self, namespaces: tuple[Namespace, Namespace], directory: Path, suite: Suite) -> None:
        self._watches = [LoopWatch(directory / f"stall{end}.json") for end in range(len(namespaces))]
        self._ends = [Ikeengine(namespace, directory / str(end), _declaration(end, suite), _SECRETS, watch.program)
                      for end, (namespace, watch) in enumerate(zip(namespaces, self._watches, strict=True))]
        self._pids: list[int] = []

    def start(self) -> None:
        """Returns once traffic can pass."""
        for end in self._ends:
            self._pids.append(end.start())
        self._ends[0].ask("up", gateway="peer", timeout=_UP_SECONDS)
        for pid, watch in zip(self._pids, self._watches, strict=True):
            put_first(pid)
            watch.stalled(pid)

    def figures(self) -> dict[str, float]:
        """The longest that an event loop stood still since the start, by the clock and by its processor's time."""
        stalls = [watch.stalled(pid) for pid, watch in zip(self._pids, self._watches, strict=True)]
        return {f"stall_{name}_max": max(stall[name] for stall in stalls) for name in stalls[0]}

    def stop(self) -> None:
        for end, _pid in zip(self._ends, self._pids, strict=False):
            end.stop()


class TheirCouple:
    """charon with kernel-libipsec at both ends. OpenSSL's ciphers come first, as they cost it least."""

    name = "libipsec"
    plugins = LOADED.replace(" openssl", "").replace("random ", "random openssl ")

    def __init__(self, namespaces: tuple[Namespace, Namespace], directory: Path, suite: Suite) -> None:
        self._ends = [Charon(namespace, directory / str(end), kernel=LIBIPSEC, level=-1, detail=-1,
                             loaded=self.plugins) for end, namespace in enumerate(namespaces)]
        self._suite = suite
        self._started: list[Charon] = []

    def start(self) -> None:
        for number, end in enumerate(self._ends):
            end.start()
            self._started.append(end)
            put_first(end.pid)
            end.load(_swanctl(number, self._suite))
        self._ends[0].initiate("lan", timeout=_UP_SECONDS)

    def figures(self) -> dict[str, float]:
        """Nobody watches its threads."""
        return {}

    def stop(self) -> None:
        for end in self._started:
            end.kill()


_SECRETS: Json = {"version": 1, "gateways": {"peer": {"method": "psk", "psk": PSK}}}


def _declaration(end: int, suite: Suite) -> Json:
    proposal = {"name": "p2", "protocol": "ESP", "encryption": suite.encryption}
    if suite.authentication:
        proposal["authentication"] = suite.authentication
    endpoint = {"local": {"address": ADDRESSES[end]}, "remote": {"address": ADDRESSES[1 - end]}}
    return {
        "version": 1, "site": {"name": f"end{end}"},
        "transforms": [{"name": "p1", "key_group": 31}],
        "proposals": [proposal],
        "gateways": [{"name": "peer", "credential": {"method": "psk"}, "transforms": ["p1"], "start": "answer",
                      "endpoints": [endpoint]}],
        "tunnels": [{"name": "lan", "gateway": "peer", "proposals": ["p2"], "dataplane": "userspace",
                     "pfs": {"enabled": False}, "routes": [{"local": LANS[end], "remote": LANS[1 - end]}]}],
    }


def _swanctl(end: int, suite: Suite) -> str:
    return f"""\
connections {{
  peer {{
    version = 2
    local_addrs = {ADDRESSES[end]}
    remote_addrs = {ADDRESSES[1 - end]}
    proposals = aes256-sha256-x25519
    local {{
      auth = psk
    }}
    remote {{
      auth = psk
    }}
    children {{
      lan {{
        local_ts = {LANS[end]}
        remote_ts = {LANS[1 - end]}
        esp_proposals = {suite.swan}
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
