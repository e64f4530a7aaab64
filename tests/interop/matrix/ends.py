# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two kinds of end that a cell has, with one face: ikeengine and strongSwan."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ansible_collections.tandem.vpn.plugins.module_utils.vpn import algorithms
from ansible_collections.tandem.vpn.plugins.module_utils.vpn.declaration import read
from ansible_collections.tandem.vpn.plugins.module_utils.vpn.rendering import swanctl

from tests.interop.matrix.declared import TUNNEL, Declared
from tests.interop.site import Engine
from tests.testbed.network import Namespace
from tests.testbed.strongswan import Charon

Json = dict[str, Any]
#: Octets above which an IKE message goes in fragments: few, so that every message that is encrypted does.
LARGEST_DATAGRAM = 200
#: Of strongSwan: to answer in Aggressive Mode with a key, and to delete at once what an IKEv1 rekey replaced.
SETTINGS = f"""\
i_dont_care_about_security_and_use_aggressive_mode_psk = yes
  delete_rekeyed = yes
  fragment_size = {LARGEST_DATAGRAM}"""
NOTHING = {"version": 1}


@dataclass(frozen=True, slots=True)
class Child:
    """An SA pair as one end has it; selectors as the language writes them."""

    spi_in: str
    spi_out: str
    local: str
    remote: str
    packets_in: int
    packets_out: int


@dataclass(frozen=True, slots=True)
class Held:
    """All that an end holds: (initiator's SPI, responder's SPI) of its IKE SAs, and its SA pairs by inbound SPI."""

    ike: tuple[tuple[str, str], ...]
    children: Mapping[str, Child]


class End(Protocol):
    namespace: Namespace

    @property
    def log(self) -> str: ...

    def start(self) -> None: ...

    def kill(self) -> None: ...

    def load(self, declared: Declared, *, fragmentation: bool, esn: bool) -> None:
        """Take a declaration in force in the place of earlier ones; the options are strongSwan's, ikeengine goes along.
        """

    def up(self) -> None:
        """Bring everything up and wait for it. Raises an exception with the reason."""

    def rekey_children(self) -> None: ...

    def rekey_ike(self) -> None: ...

    def down(self) -> None: ...

    def clear(self) -> None:
        """Forget what was loaded."""

    def held(self) -> Held: ...


class Ours:
    """ikeengine."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.namespace = engine.namespace
        self._gateway = ""

    @property
    def log(self) -> str:
        return self.engine.log

    def start(self) -> None:
        self.engine.start(NOTHING, NOTHING)

    def kill(self) -> None:
        self.engine.kill()

    def load(self, declared: Declared, *, fragmentation: bool, esn: bool) -> None:
        self._gateway = declared.gateway
        self.engine.ask("reload", declaration=declared.data, secrets=declared.secrets)

    def up(self) -> None:
        self.engine.ask("up", gateway=self._gateway)

    def rekey_children(self) -> None:
        self.engine.ask("rekey", tunnel=TUNNEL)

    def rekey_ike(self) -> None:
        self.engine.ask("rekey", gateway=self._gateway)

    def down(self) -> None:
        self.engine.ask("down", gateway=self._gateway)

    def clear(self) -> None:
        self.engine.ask("flush")

    def held(self) -> Held:
        ike, children = self.listed()
        return Held(tuple((sa["spi_i"], sa["spi_r"]) for sa in ike),
                    {sa["spi_in"]: Child(*(sa[field] for field in Child.__slots__)) for sa in children})

    @property
    def received(self) -> int:
        """IKE datagrams so far."""
        return int(self.engine.ask("status")["counters"]["datagrams_received"])

    def listed(self) -> tuple[list[Json], list[Json]]:
        """The IKE SAs and the SA pairs in the words of ``status``."""
        status = self.engine.ask("status")
        return ([sa for gateway in status["gateways"] for sa in gateway["ike"]],
                [sa for tunnel in status["tunnels"] for route in tunnel["routes"] for sa in route["sas"]])


class StrongSwan:
    """charon, with what is rendered for it."""

    def __init__(self, charon: Charon) -> None:
        self.charon = charon
        self.namespace = charon.namespace
        self._connection = ""
        self._children: list[str] = []

    @property
    def log(self) -> str:
        return self.charon.log

    def start(self) -> None:
        self.charon.start()

    def kill(self) -> None:
        self.charon.kill()

    def load(self, declared: Declared, *, fragmentation: bool, esn: bool) -> None:
        rendering = swanctl.render(read(declared.data, secrets=declared.secrets))
        self._connection = declared.gateway
        routes = len(declared.data["tunnels"][0]["routes"])
        self._children = [TUNNEL] if routes == 1 else [f"{TUNNEL}-{number}" for number in range(1, routes + 1)]
        head = f"  {self._connection} {{\n"
        choice = f"    fragmentation = {'yes' if fragmentation else 'no'}\n"
        configuration = rendering.files[swanctl.CONFIGURATION].replace(head, head + choice, 1)
        if esn:
            configuration = re.sub("(_proposals = .*)", r"\1-esn", configuration)
        self.charon.load(configuration, {**rendering.files, **rendering.secrets, swanctl.CONFIGURATION: configuration})

    def up(self) -> None:
        for child in self._children:
            self.charon.initiate(child, timeout=15)

    def rekey_children(self) -> None:
        for child in self._children:
            self.charon.rekey(child=child)

    def rekey_ike(self) -> None:
        self.charon.rekey(ike=self._connection)

    def down(self) -> None:
        self.charon.terminate(ike=self._connection)

    def clear(self) -> None:
        self.charon.load("")

    def held(self) -> Held:
        sas = [sa for sa in self.charon.list_sas() if sa["state"] not in ("CONNECTING", "DELETING")]
        children = [sa for ike in sas for sa in ike.get("child-sas", {}).values() if sa["state"] == "INSTALLED"]
        return Held(tuple((sa["initiator-spi"], sa["responder-spi"]) for sa in sas),
                    {sa["spi-in"]: Child(sa["spi-in"], sa["spi-out"], _selector(sa["local-ts"]),
                                         _selector(sa["remote-ts"]), int(sa["packets-in"]), int(sa["packets-out"]))
                     for sa in children})

    def pfs_groups(self) -> set[str]:
        """Of the SA pairs there are, as the language numbers them; "none" where one was made without."""
        names = {re.sub(r"(?=\d)", "_", row.name, count=1).upper(): str(row.number) for row in algorithms.KEY_GROUPS}
        return {names[sa["dh-group"]] if "dh-group" in sa else "none"
                for ike in self.charon.list_sas() for sa in ike["child-sas"].values() if sa["state"] == "INSTALLED"}


def _selector(listed: list[str]) -> str:
    return re.sub(r"/(32|128)$", "", ", ".join(listed)).replace("..", "-")
