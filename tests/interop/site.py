# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One VPN declared in the words of either side, the processes that run it, and what must hold between them."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ansible_collections.tandem.vpn.plugins.module_utils.control import NotRunning, request
from ansible_collections.tandem.vpn.plugins.module_utils.vpn.declaration import read
from ansible_collections.tandem.vpn.plugins.module_utils.vpn.rendering import swanctl

from tests.testbed.network import Namespace
from tests.testbed.strongswan import Charon

SOURCES = Path(__file__).parents[2] / "files/ikeengine"
OURS, THEIRS = "192.0.2.1", "192.0.2.2"
PSK = "correct horse battery staple 3390"
PINGS = 3
START_SECONDS = 60
SETTLE_SECONDS = 30
"""strongSwan keeps an IKEv1 SA that it has replaced for ten."""

Json = dict[str, Any]


class Lan(NamedTuple):
    """A network, and the host in it that sends and answers pings."""

    network: str
    host: str


ROUTES = tuple((Lan(f"10.1.{number}.0/24", f"10.1.{number}.1"), Lan(f"10.2.{number}.0/24", f"10.2.{number}.1"))
               for number in range(2))


CHILDREN = [f"lan-{number}" for number, _route in enumerate(ROUTES, 1)]
"""strongSwan's, one for each route."""


@dataclass(frozen=True)
class Suite:
    """Both phases, and the words of our ``status`` for what is agreed on."""

    transforms: Sequence[Json]
    proposal: Json
    pfs: int
    ike: str = ""
    esp: str = ""


def transform(encryption: str, authentication: str, group: int) -> Json:
    return {"name": f"group-{group}", "encryption": encryption, "authentication": authentication, "key_group": group}


def proposal(encryption: str, authentication: str | None = None) -> Json:
    row = {"name": "p2", "protocol": "ESP", "encryption": encryption}
    return {**row, "authentication": authentication} if authentication else row


CBC = Suite([transform("AES-256", "SHA2-256", 14)], proposal("AES-256", "SHA2-256"), 14,
            "AES-256/SHA2-256/group 14", "ESP AES-256/SHA2-256")
GCM = Suite([transform("AES-GCM-256", "SHA2-384", 31)], proposal("AES-GCM-128"), 31,
            "AES-GCM-256/SHA2-384/group 31", "ESP AES-GCM-128")
SHA1 = Suite([transform("AES-128", "SHA1", 19)], proposal("AES-128", "SHA1"), 20,
             "AES-128/SHA1/group 19", "ESP AES-128/SHA1")
SUITES = {"AES-256 SHA2-256 group 14": CBC, "AES-GCM group 31": GCM, "AES-128 SHA1 groups 19 and 20": SHA1}


def declaration(suite: Suite, **gateway: Any) -> Json:
    """Our side: gateway ``swan`` with one tunnel, ``lan``, of all ROUTES."""
    return _declared("ours", "swan", OURS, THEIRS, suite, gateway, ROUTES)


def peer(suite: Suite, **gateway: Any) -> Json:
    """strongSwan's side, which nobody manages: gateway ``tandem`` with the same tunnel."""
    declared = _declared("swan", "tandem", THEIRS, OURS, suite, gateway, [(there, here) for here, there in ROUTES])
    declared["site"]["managed"] = False
    return declared


def _declared(name: str, gateway: str, local: str, remote: str, suite: Suite, more: Json,
              routes: Sequence[tuple[Lan, Lan]]) -> Json:
    return {
        "version": 1, "site": {"name": name}, "transforms": list(suite.transforms), "proposals": [suite.proposal],
        "gateways": [{"name": gateway, "ike_version": 2, "credential": {"method": "psk"},
                      "endpoints": [{"local": {"address": local}, "remote": {"address": remote}}],
                      "transforms": [row["name"] for row in suite.transforms], "start": "answer", **more}],
        "tunnels": [{"name": "lan", "gateway": gateway, "proposals": ["p2"],
                     "dataplane": "userspace" if name == "ours" else "auto",
                     "routes": [{"local": here.network, "remote": there.network} for here, there in routes],
                     "pfs": {"enabled": True, "key_group": suite.pfs}}],
    }


def secrets(gateway: str, psk: str) -> Json:
    return {"version": 1, "gateways": {gateway: {"method": "psk", "psk": psk}}}


def configure(charon: Charon, suite: Suite, *, psk: str = PSK, edit: Callable[[str], str] = str,
              **gateway: Any) -> None:
    """Give strongSwan its side as it is rendered: connection ``tandem`` with the children of CHILDREN.

    ``edit`` changes what our language cannot say.
    """
    rendering = swanctl.render(read(peer(suite, **gateway), secrets=secrets("tandem", psk)))
    configuration = edit(rendering.files[swanctl.CONFIGURATION])
    charon.load(configuration, {**rendering.files, **rendering.secrets, swanctl.CONFIGURATION: configuration})


def also(line: str) -> Callable[[str], str]:
    """One more line in strongSwan's connection."""
    return lambda text: text.replace("  tandem {\n", f"  tandem {{\n    {line}\n", 1)


def in_one_child(text: str) -> str:
    """strongSwan's routes together in its first child, as our language never has them."""
    first, second = (text.index(f"      {child} {{") for child in CHILDREN)
    end = text.index("      }\n", second) + len("      }\n")
    joined = text[first:second]
    for local, remote in ROUTES[1:]:
        joined = re.sub(r"local_ts = (.*)", rf"local_ts = \1, {remote.network}", joined)
        joined = re.sub(r"remote_ts = (.*)", rf"remote_ts = \1, {local.network}", joined)
    return text[:first] + re.sub(r" +reqid = .*\n", "", joined) + text[end:]


def cut(octets: int) -> list[str]:
    """What Python runs to have ikeengine cut every IP datagram above so many octets into fragments (RFC 7383)."""
    return ["-c", "import runpy; from ikeengine.daemon import service; from ikeengine.ike.context import Settings; "
                  f"service.Settings = lambda **more: Settings(largest_datagram={octets}, **more); "
                  "runpy.run_module('ikeengine', run_name='__main__')"]


class Engine:
    """ikeengine as a process in `namespace`; `directory` keeps its files, its log and its control socket.

    `program` is what Python runs.
    """

    def __init__(self, namespace: Namespace, directory: Path) -> None:
        self.namespace = namespace
        self.directory = directory
        self.program = ["-m", "ikeengine"]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        log = self.directory / "log"
        return log.read_text(errors="replace") if log.exists() else ""

    def start(self, declared: Json, keys: Json | None = None) -> None:
        """Start it with that declaration and wait until it answers. Raises RuntimeError with its log.

        Without ``keys`` its gateway is ``swan``, with the key PSK.
        """
        self.directory.mkdir(exist_ok=True)
        for name, data in (("declaration", declared), ("secrets", keys or secrets("swan", PSK))):
            (self.directory / f"{name}.json").write_text(json.dumps(data))
        files = [word for name in ("declaration", "secrets")
                 for word in (f"--{name}", str(self.directory / f"{name}.json"))]
        argv = [*self.namespace.entry, sys.executable, *self.program, *files, "--control", self._control]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(argv, cwd=SOURCES, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self.ask("status")
                return
            except NotRunning:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.kill()
                    raise RuntimeError(f"ikeengine did not start:\n{self.log}") from None
                time.sleep(0.02)

    def kill(self) -> None:
        """End it without a word to anybody, as a power cut does. May be repeated."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def ask(self, command: str, **arguments: Any) -> Json:
        """Raises ControlError with the daemon's reason."""
        return request(command, path=self._control, timeout=40, **arguments)

    @property
    def gateway(self) -> Json:
        (gateway,) = self.ask("status")["gateways"]
        return gateway

    @property
    def routes(self) -> list[Json]:
        (tunnel,) = self.ask("status")["tunnels"]
        return list(tunnel["routes"])

    @property
    def _control(self) -> str:
        return str(self.directory / "control.sock")


@dataclass(frozen=True)
class Snapshot:
    """What both ends hold once they agree: the IKE SA's SPIs, and (ours, theirs) of the SA pair of each route."""

    ike: tuple[str, str]
    children: tuple[tuple[Json, Json], ...] = field(repr=False)

    @property
    def spis(self) -> set[str]:
        return {pair[0]["spi_in"] for pair in self.children}


class Site:
    """Both ends together."""

    def __init__(self, ours: Engine, theirs: Charon) -> None:
        self.ours = ours
        self.theirs = theirs

    def logs(self) -> str:
        return f"--- ikeengine:\n{self.ours.log}\n--- strongSwan:\n{self.theirs.log}"

    def settled(self, *, routes: int = len(ROUTES)) -> Snapshot:
        """Wait until both ends hold one IKE SA and one SA pair for each of `routes`, crosswise, and nothing else.

        Raises AssertionError with both states where they do not within SETTLE_SECONDS.
        """
        snapshot: list[Snapshot] = []

        def agree() -> bool:
            found = self._snapshot(routes)
            snapshot.extend([found] if found else [])
            return found is not None

        eventually(agree, lambda: f"{self.ours.ask('status')}\n{self.theirs.list_sas()}")
        return snapshot[-1]

    def _snapshot(self, routes: int) -> Snapshot | None:
        ike = self.ours.gateway["ike"]
        far = [sa for sa in self.theirs.list_sas() if sa["state"] != "CONNECTING"]
        near = [(route["declared"], sa) for route in self.ours.routes for sa in route["sas"]]
        if len(ike) != 1 or len(far) != 1:
            return None
        # It keeps a deleted child SA for some seconds, to receive what is late.
        theirs = {sa["spi-in"]: sa for sa in far[0]["child-sas"].values() if sa["state"] != "DELETED"}
        if len(near) != routes or len(theirs) != routes:
            return None
        pairs = []
        for declared, sa in near:
            other = theirs.get(sa["spi_out"])
            if (other is None or other["spi-out"] != sa["spi_in"] or other["state"] != "INSTALLED"
                    or (other["local-ts"], other["remote-ts"]) != ([sa["remote"]], [sa["local"]])
                    or (sa["local"], sa["remote"]) != (declared["local"], declared["remote"])):
                return None
            pairs.append((sa, other))
        spis = ike[0]["spi_i"], ike[0]["spi_r"]
        if spis != (far[0]["initiator-spi"], far[0]["responder-spi"]):
            return None
        return Snapshot(spis, tuple(pairs))

    def carries(self, *, routes: int = len(ROUTES)) -> Snapshot:
        """Both ends agree on the first `routes`; over those, every ping from both ends is answered and counted."""
        before = self.settled(routes=routes)
        pings = [self.ping(namespace, source, target, PINGS, "-l", str(PINGS))
                 for local, remote in ROUTES[:routes]
                 for namespace, source, target in ((self.ours.namespace, local.host, remote.host),
                                                   (self.theirs.namespace, remote.host, local.host))]
        for ping in pings:
            assert answered(ping) == set(range(1, PINGS + 1))
        after = self.settled(routes=routes)
        assert (after.ike, after.spis) == (before.ike, before.spis)
        passed = 2 * PINGS  # requests of one end's pings and answers to the other's, each way
        for (near, far), (near_after, far_after) in zip(before.children, after.children, strict=True):
            for way in ("in", "out"):
                assert near_after[f"packets_{way}"] - near[f"packets_{way}"] == passed
                assert int(far_after[f"packets-{way}"]) - int(far[f"packets-{way}"]) == passed
        return after

    @contextmanager
    def traffic(self, count: int = 100) -> Iterator[None]:
        """Pings over every route for a second or so, while something happens; none of them may be lost."""
        pings = [self.ping(self.ours.namespace, local.host, remote.host, count, "-i", "0.01")
                 for local, remote in ROUTES]
        try:
            yield
            for ping in pings:
                numbers = answered(ping)
                lost = set(range(1, max(numbers, default=0))) - numbers
                # For the last answers ping waits no longer than its interval, so on a busy machine it may miss them.
                assert not lost and len(numbers) > 0.9 * count, f"lost {lost} of {count}: {self.ours.ask('status')}"
        finally:
            for ping in pings:
                ping.kill()
                ping.wait()

    @staticmethod
    def ping(namespace: Namespace, source: str, target: str, count: int, *options: str) -> "subprocess.Popen[str]":
        """So many requests, for `answered` to read."""
        argv = [*namespace.entry, "ping", "-n", "-c", str(count), *options, "-I", source, target]
        return subprocess.Popen(argv, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT)


def answered(ping: "subprocess.Popen[str]") -> set[int]:
    """The numbers, from 1, of the requests that were answered."""
    return {int(number) for number in re.findall(r"icmp_seq=(\d+) ttl=", ping.communicate(timeout=30)[0])}


def eventually(holds: Callable[[], bool], otherwise: Callable[[], str], seconds: float = SETTLE_SECONDS) -> None:
    """Wait until it holds. Raises AssertionError with the words of `otherwise`."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, otherwise()
        time.sleep(0.05)
