# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""strongSwan as the reference peer: one charon per namespace, with a configuration and a socket of its own."""

import os
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from . import vici
from .command import run
from .network import Namespace

START_SECONDS = 20
STOP_SECONDS = 10
LOADED = (
    "random nonce aes sha1 sha2 md5 hmac kdf gcm openssl curve25519 gmp pem pkcs1 pkcs8 x509 pubkey constraints "
    "revocation {kernel} socket-default vici updown"
)
STRONGSWAN_CONF = """\
charon-systemd {{
  load = {loaded}
  {settings}
  retransmit_tries = 3
  retransmit_timeout = 1.0
  journal {{
    default = -1
  }}
  filelog {{
    log {{
      path = {directory}/log
      default = {level}
      ike = {detail}
      cfg = {detail}
      flush_line = yes
    }}
  }}
  plugins {{
    vici {{
      socket = unix://{directory}/vici
    }}
  }}
}}
swanctl {{
  load = pem pkcs1 x509 pkcs8 openssl random
}}
"""
KERNEL = "kernel-netlink"
# Its ESP is in userspace and always in UDP; kernel-netlink still serves it addresses and routes.
LIBIPSEC = "kernel-libipsec kernel-netlink"


class Charon:
    """One IKE daemon of strongSwan's in `namespace`, for as long as the context lasts.

    `kernel` names its data plane, KERNEL or LIBIPSEC. `directory` keeps its configuration, log and socket; its path
    is short enough for a socket's (100 octets). `level` is its log level, -1 for none, and `detail` that of IKE and
    configuration: 4 shows keys.
    `settings` are further lines of its section in strongswan.conf, and `loaded` its plugins: the first that has an
    algorithm serves it.
    """

    def __init__(
        self, namespace: Namespace, directory: Path, *, kernel: str = LIBIPSEC, level: int = 1, detail: int = 2,
        settings: str = "", loaded: str = LOADED,
    ) -> None:
        self.namespace = namespace
        self.directory = directory
        self.kernel = kernel
        self.level = level
        self.detail = detail
        self.settings = settings
        self.loaded = loaded

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def log(self) -> str:
        """All that it has logged so far."""
        return (self.directory / "log").read_text(errors="replace")

    def __enter__(self) -> "Charon":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it and wait until it takes commands. Raises RuntimeError with its log if it does not come up."""
        for folder in ("conf.d", "x509", "x509ca", "private"):
            (self.directory / "swanctl" / folder).mkdir(parents=True, exist_ok=True)
        (self.directory / "strongswan.conf").write_text(
            STRONGSWAN_CONF.format(
                directory=self.directory,
                loaded=self.loaded.format(kernel=self.kernel),
                level=self.level,
                detail=self.detail,
                settings=self.settings,
            )
        )
        self._socket.unlink(missing_ok=True)
        with (self.directory / "console").open("wb") as console:
            self._process = subprocess.Popen(
                [*self.namespace.entry, "charon-systemd"],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._socket.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"charon did not start:\n{(self.directory / 'console').read_text()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End it as a service manager does, so that it takes its leave of its peers. May be repeated."""
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def kill(self) -> None:
        """End it without a word to anybody, as a power cut does."""
        with suppress(ProcessLookupError):
            self._process.kill()
        self._process.wait()

    def load(self, configuration: str, files: Mapping[str, str] | None = None) -> None:
        """Load a whole swanctl.conf, in the place of what was loaded before. Raises CommandFailed.

        `files` are what it includes or names, by their path beside it.
        """
        for path, text in {"swanctl.conf": configuration, **(files or {})}.items():
            (self.directory / "swanctl" / path).parent.mkdir(exist_ok=True)
            (self.directory / "swanctl" / path).write_text(text)
        self._swanctl("--load-all", "--clear")

    def list_connections(self) -> str:
        """What it loaded, in swanctl's words."""
        return self._swanctl("--list-conns")

    def initiate(self, child: str, *, timeout: int = 20) -> str:
        """Bring up a child and wait for it; returns swanctl's words. Raises CommandFailed with the reason."""
        return self._swanctl("--initiate", "--child", child, "--timeout", str(timeout))

    def terminate(self, *, ike: str | None = None, child: str | None = None, timeout: int = 20) -> str:
        """Delete an IKE SA or one child by name. Raises CommandFailed."""
        return self._swanctl("--terminate", *_chosen(ike, child), "--timeout", str(timeout))

    def rekey(self, *, ike: str | None = None, child: str | None = None, reauth: bool = False) -> None:
        """Begin to rekey an IKE SA or a child by name; it does not wait for the end. Raises RuntimeError.

        With `reauth` it makes the IKE SA anew, authentication and children included, in place of a rekey.
        """
        chosen = {"ike": ike, "child": child, "reauth": "yes" if reauth else None}
        vici.ask(self._socket, "rekey", **{key: value for key, value in chosen.items() if value})

    def list_sas(self) -> list[dict[str, Any]]:
        """Its IKE SAs in vici's own words, each with its connection's `name`; ``child-sas`` are in them by name."""
        _answer, events = vici.ask(self._socket, "list-sas", event="list-sa")
        return [{"name": name, **sa} for event in events for name, sa in event.items()]

    @property
    def _socket(self) -> Path:
        return self.directory / "vici"

    @property
    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "STRONGSWAN_CONF": str(self.directory / "strongswan.conf"),
            "SWANCTL_DIR": str(self.directory / "swanctl"),
        }

    def _swanctl(self, *arguments: str) -> str:
        argv = ["swanctl", *arguments, "--uri", f"unix://{self._socket}"]
        return run(argv, env=self._environment).stdout


def _chosen(ike: str | None, child: str | None) -> list[str]:
    return [*(["--ike", ike] if ike else []), *(["--child", child] if child else [])]
