# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two gateways with a route-based tunnel between them, each ikeengine in a network namespace, joined by a cable."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from ansible_collections.tandem.vpn.plugins.module_utils.control import NotRunning, request

from tests.testbed.capture import Capture
from tests.testbed.network import Namespace, ip

Json = dict[str, Any]
SOURCES = Path(__file__).parents[3] / "files/ikeengine"
SECONDS = 120
"""For anything to happen: a virtual machine without hardware support is up to twenty times slower."""
PSK = "correct horse battery staple 8246"
MARKER = b"in clear text"
DEVICE = "vpn0"
METRIC = 20


class Process(Protocol):
    """As much of `subprocess.Popen` as a daemon's life takes."""

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def send_signal(self, number: int) -> None: ...


def spawned(arguments: Sequence[str], namespace: Namespace, log: IO[bytes]) -> Process:
    """A daemon as a program of its own."""
    return subprocess.Popen([*namespace.entry, sys.executable, "-m", "ikeengine", *arguments], cwd=SOURCES,
                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)


@dataclass
class End:
    """One gateway. Its LAN host is an address of its own: 10.NUMBER.0.1 and fd00:NUMBER::1."""

    number: int
    namespace: Namespace
    folder: Path
    run: Callable[[Sequence[str], Namespace, IO[bytes]], Process]
    process: Process | None = None

    @property
    def other(self) -> int:
        return 3 - self.number

    @property
    def control(self) -> str:
        return str(self.folder / "control.sock")

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def declaration(self, *, interface: Mapping[str, Any] | None = None, **tunnel: Any) -> Json:
        """One tunnel, ``transit``, with addresses and routes of both families; the keywords are other fields of it."""
        number, other = self.number, self.other
        return {
            "version": 1, "site": {"name": f"end{number}"},
            "transforms": [{"name": "quick", "key_group": 31}],
            "proposals": [{"name": "gcm", "encryption": "AES-GCM-128"}],
            "gateways": [{"name": "peer", "credential": {"method": "psk"}, "transforms": ["quick"],
                          "dead_peer_detection": {"idle": "10s", "retries": 3},
                          "start": "boot" if number == 1 else "answer",
                          "endpoints": [{"local": {"address": f"192.0.2.{number}"},
                                         "remote": {"address": f"192.0.2.{other}"}}]}],
            "tunnels": [{"name": "transit", "gateway": "peer", "proposals": ["gcm"],
                         "pfs": {"enabled": True, "key_group": 31},
                         "interface": {"name": DEVICE, "addresses": [f"169.254.7.{number}/30", f"fd00:7::{number}/126"],
                                       "metric": METRIC, **(interface or {})},
                         "routes": [{"local": f"10.{number}.0.0/24", "remote": f"10.{other}.0.0/24"},
                                    {"local": f"fd00:{number}::/64", "remote": f"fd00:{other}::/64"}], **tunnel}],
        }

    @property
    def secrets(self) -> Json:
        return {"version": 1, "gateways": {"peer": {"method": "psk", "psk": PSK}}}

    def start(self, declared: Json | None = None) -> None:
        """Start the daemon and wait until it answers."""
        files = {"declaration": declared or self.declaration(), "secrets": self.secrets}
        for name, data in files.items():
            (self.folder / f"{name}.json").write_text(json.dumps(data))
        words = [word for name in files for word in (f"--{name}", str(self.folder / f"{name}.json"))]
        with (self.folder / "log").open("ab") as log:
            self.process = self.run([*words, "--control", self.control], self.namespace, log)
        self.wait(lambda: self._answers() or (self.process is not None and self.process.poll() is not None))
        assert self.process.poll() is None, self.log

    def end(self, number: int) -> None:
        """Send it that signal, and wait until it is gone."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(SECONDS)
            self.process = None

    def ask(self, command: str, **arguments: Any) -> Json:
        """Raises ControlError with the daemon's reason."""
        return request(command, path=self.control, timeout=SECONDS, **arguments)

    def declare(self, declared: Json, **more: Json) -> Json:
        """Reload; what that changed. ``more`` are the credentials of other gateways."""
        secrets = self.secrets
        return self.ask("reload", declaration=declared, secrets=secrets | {"gateways": secrets["gateways"] | more})

    @property
    def tunnel(self) -> Json:
        return next(row for row in self.ask("status")["tunnels"] if row["name"] == "transit")

    @property
    def sas(self) -> list[Json]:
        """The SA pairs of the tunnel, each once."""
        found = {sa["spi_in"]: sa for route in self.tunnel["routes"] for sa in route["sas"]}
        return list(found.values())

    def wait(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + SECONDS
        while not holds():
            assert time.monotonic() < deadline, self.log
            time.sleep(0.05)

    def json(self, *words: str) -> list[Json]:
        """What `ip -j` prints."""
        printed = self.namespace.run(["ip", "-json", "-details", *words], check=False).stdout
        return [row for row in json.loads(printed or "[]") if row]

    def link(self, name: str = DEVICE) -> Json | None:
        return next(iter(self.json("link", "show", "dev", name)), None)

    def addresses(self, name: str = DEVICE) -> set[str]:
        """Its own link-local one is the kernel's."""
        return {f"{row['local']}/{row['prefixlen']}" for link in self.json("address", "show", "dev", name)
                for row in link.get("addr_info", ()) if not row["local"].startswith("fe80")}

    def routes(self) -> set[tuple[str, str | None, int]]:
        """Those to the other end's LAN: network, device or None where packets are refused, and metric."""
        rows = [row for family in ("-4", "-6") for row in self.json(family, "route", "show", "table", "main")]
        return {(row["dst"], None if row.get("type") == "unreachable" else row["dev"], row.get("metric", 0))
                for row in rows if row["dst"].startswith((f"10.{self.other}.", f"fd00:{self.other}:"))}

    def ping(self, target: str, count: int = 3, patience: int = 10, source: str | None = None) -> int:
        """How many are answered within so many seconds; all carry MARKER."""
        options = ["-I", source] if source is not None else []
        printed = self.namespace.run(["ping", "-n", "-q", "-c", str(count), "-i", "0.1", "-W", str(patience),
                                      "-p", MARKER.hex(), *options, target], check=False).stdout
        return int(printed.split(" received")[0].rsplit(" ", 1)[1]) if " received" in printed else 0

    def _answers(self) -> bool:
        try:
            self.ask("status")
        except NotRunning:
            return False
        return True


@dataclass
class Bed:
    """``kind`` is what the devices are; ``plane`` the data plane that `auto` takes for it."""

    kind: str
    ends: tuple[End, End]
    folder: Path

    @property
    def plane(self) -> str:
        return "userspace" if self.kind == "tun" else "kernel"

    @property
    def in_kernel(self) -> bool:
        return self.plane == "kernel"

    def come_up(self) -> None:
        """Both run with the declaration that cases begin from, and the tunnel is up."""
        for end in reversed(self.ends):
            if end.process is None:
                end.start()
            else:
                end.declare(end.declaration())
        self.settle()

    def settle(self) -> None:
        """Both are up, on one IKE SA and one SA pair."""
        one, other = self.ends
        one.ask("up", gateway="peer")

        def agrees() -> bool:
            return ({(sa["spi_in"], sa["spi_out"]) for sa in one.sas}
                    == {(sa["spi_out"], sa["spi_in"]) for sa in other.sas} and len(one.sas) == 1
                    and all(len(gateway["ike"]) == 1 for end in self.ends for gateway in end.ask("status")["gateways"]))

        one.wait(agrees)

    @contextmanager
    def captured(self) -> Iterator[Callable[[], int]]:
        """Gives, when it is over, how many packets with MARKER in clear went over the cable."""
        file = self.folder / "cable.pcap"
        with Capture(self.ends[0].namespace, "wan", file) as capture:
            yield lambda: capture.counts([], marker=MARKER).clear


@contextmanager
def built(kind: str, folder: Path, run: Callable[[Sequence[str], Namespace, IO[bytes]], Process] = spawned,
          ) -> Iterator[Bed]:
    """The bed for as long as the context lasts; no daemon runs yet. ``run`` starts one."""
    tag = f"rb{folder.stat().st_ino % 10000}"
    ends = []
    for number in (1, 2):
        (folder / str(number)).mkdir()
        (folder / str(number) / "log").touch()
        ends.append(End(number, Namespace(f"{tag}-{number}"), folder / str(number), run))
    try:
        for end in ends:
            end.namespace.create()
            end.namespace.run(["sysctl", "-q", "-w", "net.ipv6.conf.all.accept_dad=0",
                               "net.ipv6.conf.default.accept_dad=0"])
        ip(f"link add wan netns {ends[0].namespace.name} type veth peer name wan netns {ends[1].namespace.name}")
        for end in ends:
            end.namespace.ip(
                f"address add 192.0.2.{end.number}/24 dev wan", f"address add fd00:9::{end.number}/64 dev wan nodad",
                "link set wan up", f"address add 10.{end.number}.0.1/32 dev lo",
                f"address add fd00:{end.number}::1/128 dev lo nodad")
        for end in ends:
            # What leaks arrives.
            end.namespace.ip(f"route add default via 192.0.2.{end.other}", f"route add default via fd00:9::{end.other}")
        yield Bed(kind, (ends[0], ends[1]), folder)
    finally:
        for end in ends:
            end.end(signal.SIGKILL)
            end.namespace.delete()


def script(end: End, *lines: str) -> Sequence[str]:
    """Words that run Python in the end's namespace."""
    return [*end.namespace.entry, sys.executable, "-c", "\n".join(lines)]
