# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two gateways that are neighbours on a wire, inside User-Mode Linux: ikeengine, and ikeengine or strongSwan."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from ansible_collections.tandem.vpn.plugins.module_utils.vpn.declaration import read
from ansible_collections.tandem.vpn.plugins.module_utils.vpn.rendering import swanctl

from tests.interop.site import Engine, secrets
from tests.testbed.network import Namespace, ip
from tests.testbed.strongswan import KERNEL, Charon

ADDRESSES = ("192.0.2.1", "192.0.2.2")
PSK = "correct horse battery staple 8842"
_UP_SECONDS = 120
_REKEY_SECONDS = 60

Json = dict[str, Any]


class End(Protocol):
    """A gateway's daemon."""

    def begin(self, declared: Json) -> None:
        """Start it with that declaration."""

    def rekey_child(self) -> None:
        """Rekey the child SA of tunnel ``lan`` and wait for the new one."""

    def rekey_ike(self) -> None: ...

    def kill(self) -> None: ...

    @property
    def log(self) -> str: ...


class Ours(Engine):
    def begin(self, declared: Json) -> None:
        self.start(declared, keys(declared))

    def rekey_child(self) -> None:
        self.ask("rekey", tunnel="lan")

    def rekey_ike(self) -> None:
        self.ask("rekey", gateway="peer")


class Theirs:
    """strongSwan, with the kernel's ESP, in the words that our renderer has for it."""

    def __init__(self, namespace: Namespace, directory: Path) -> None:
        self._charon = Charon(namespace, directory, kernel=KERNEL, level=0, detail=0)

    def begin(self, declared: Json) -> None:
        self._charon.start()
        declared = {**declared, "site": {**declared["site"], "managed": False}}
        rendering = swanctl.render(read(declared, secrets=keys(declared)))
        self._charon.load(rendering.files[swanctl.CONFIGURATION], {**rendering.files, **rendering.secrets})

    def rekey_child(self) -> None:
        before = self._installed(set())
        self._charon.rekey(child=before["name"])
        self._installed({before["spi-in"]})

    def rekey_ike(self) -> None:
        before = self._established(set())
        self._charon.rekey(ike=before["name"])
        self._established({before["initiator-spi"]})

    def kill(self) -> None:
        self._charon.stop()

    @property
    def log(self) -> str:
        return self._charon.log

    def _established(self, old: set[str]) -> Json:
        """The IKE SA that serves, which is none of the old ones; waits for it."""
        return _first(lambda: [sa for sa in self._charon.list_sas()
                               if sa["state"] == "ESTABLISHED" and sa["initiator-spi"] not in old])

    def _installed(self, old: set[str]) -> Json:
        """The same of the child SA."""
        return _first(lambda: [child for sa in self._charon.list_sas() for child in sa.get("child-sas", {}).values()
                               if child["state"] == "INSTALLED" and child["spi-in"] not in old])


def _first(find: Callable[[], list[Json]]) -> Json:
    deadline = time.monotonic() + _REKEY_SECONDS
    while not (found := find()):
        if time.monotonic() > deadline:
            raise TimeoutError("strongSwan does not rekey")
        time.sleep(0.02)
    return found[0]


PEERS: dict[str, Callable[[Namespace, Path], End]] = {"ikeengine": Ours, "strongswan": Theirs}


class Wire:
    """Two namespaces, and a third between them whose bridge joins them; or whose program does, where not `bridged`."""

    def __init__(self, *, bridged: bool = True) -> None:
        self.between, *self._ends = (Namespace(f"soak-{name}") for name in ("wire", "ours", "theirs"))
        self._bridged = bridged

    @property
    def ends(self) -> tuple[Namespace, Namespace]:
        ours, theirs = self._ends
        return ours, theirs

    def build(self) -> None:
        for namespace in (self.between, *self._ends):
            namespace.create()
        if self._bridged:
            self.between.ip("link add lan type bridge", "link set lan up")
        for namespace, port, address in zip(self._ends, ("ours", "theirs"), ADDRESSES, strict=True):
            ip(f"link add wan netns {namespace.name} type veth peer name {port} netns {self.between.name}")
            self.between.ip(*([f"link set {port} master lan"] if self._bridged else []), f"link set {port} up")
            namespace.ip(f"address add {address}/16 dev wan", "link set wan up")

    def delete(self) -> None:
        for namespace in (self.between, *self._ends):
            namespace.delete()


@contextmanager
def wire(*, bridged: bool = True) -> Iterator[Wire]:
    made = Wire(bridged=bridged)
    try:
        made.build()
        yield made
    finally:
        made.delete()


def keys(declared: Json) -> Json:
    joined = [secrets(row["name"], PSK)["gateways"] for row in declared["gateways"]]
    return {"version": 1, "gateways": {name: key for row in joined for name, key in row.items()}}


def lan(place: int, number: int) -> str:
    """The host, and the network, behind one end of a tunnel."""
    return f"10.{place + 1}.{number}.1"


def gateway(name: str, here: str | Sequence[str], there: str | Sequence[str], **more: Any) -> Json:
    """With an endpoint pair for each of the addresses."""
    heres, theres = ([row] if isinstance(row, str) else list(row) for row in (here, there))
    return {"name": name, "credential": {"method": "psk"}, "transforms": ["p1"],
            "endpoints": [{"local": {"address": one}, "remote": {"address": other}}
                          for one, other in zip(heres, theres, strict=True)], **more}


def tunnel(name: str, of: str, place: int, number: int, **more: Any) -> Json:
    return {"name": name, "gateway": of, "proposals": ["p2"], "dataplane": "kernel",
            "pfs": {"enabled": True, "key_group": 31},
            "routes": [{"local": f"{lan(place, number)}/32", "remote": f"{lan(1 - place, number)}/32"}], **more}


def declared(place: int, gateways: Sequence[Json], tunnels: Sequence[Json]) -> Json:
    return {"version": 1, "site": {"name": ("ours", "theirs")[place]},
            "transforms": [{"name": "p1", "encryption": "AES-256", "authentication": "SHA2-256", "key_group": 31}],
            "proposals": [{"name": "p2", "protocol": "ESP", "encryption": "AES-GCM-128"}],
            "gateways": list(gateways), "tunnels": list(tunnels)}


def one_tunnel(place: int, **more: Any) -> Json:
    return declared(place, [gateway("peer", ADDRESSES[place], ADDRESSES[1 - place], **{"start": "answer", **more})],
                    [tunnel("lan", "peer", place, 0)])


def give_hosts(made: Wire, numbers: Sequence[int]) -> None:
    """The LANs' hosts: the gateways themselves have their addresses, and lead packets for the others to the wire."""
    for place, namespace in enumerate(made.ends):
        namespace.ip(*(f"address add {lan(place, number)}/32 dev lo" for number in numbers),
                     f"route add 10.{2 - place}.0.0/16 via {ADDRESSES[1 - place]}")


def is_up(engine: Engine) -> bool:
    return all(row["state"] == "up" for row in engine.ask("status")["tunnels"])


def wait_until_up(engine: Engine, seconds: float = _UP_SECONDS) -> float:
    """Seconds until every tunnel is up. Raises TimeoutError with the status."""
    began = time.monotonic()
    while not is_up(engine):
        if time.monotonic() - began > seconds:
            raise TimeoutError(str([row for row in engine.ask("status")["tunnels"] if row["state"] != "up"]))
        time.sleep(0.1)
    return time.monotonic() - began
