# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Beds: hosts and networks under one name, built and removed as a whole.

Everything that a bed leaves on the machine is found again by the bed's name alone, so that a bed half built, or one
whose folder is lost, is removed as completely as any other.
"""

import fcntl
import ipaddress
import json
import os
import re
import shlex
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from . import CHECKOUT, STATE
from .command import run
from .host import Host, Init, cgroup_root
from .network import NAMESPACES, Namespace, ip, links, tidy

# RFC 5737: a documentation range. Each bed has a sixteenth of it, for ssh between the machine and its hosts.
MANAGEMENT = ipaddress.IPv4Network("203.0.113.0/24")
# The demo's addresses are written in an inventory, so it has a part of its own.
FIRST = "demo"
NAME = re.compile(r"[a-z][a-z0-9-]{0,10}")


class BedExists(RuntimeError):
    """A bed of this name is up, or half of one is left; `down` removes it."""


class NoAddressLeft(RuntimeError):
    """Every management network is in use on this machine."""


class Bed:
    """The site-to-site bed::

        lan-hq -- hq -- router -- branch -- lan-branch
        10.1.0.0/24   192.0.2.0/24  198.51.100.0/24   10.2.0.0/24

    `hq` and `branch` are whole hosts; the others are network namespaces. The router has routes to the LANs, so what
    is not encrypted travels all the same, and is seen.
    """

    LANS = ("10.1.0.0/24", "10.2.0.0/24")

    def __init__(self, name: str, *, state: Path = STATE, init: Init = "systemd") -> None:
        """Name a bed; nothing is built yet. Raises ValueError for a name that does not fit into an interface's."""
        if not NAME.fullmatch(name):
            raise ValueError(f"a bed's name matches {NAME.pattern}, which {name!r} does not")
        self.name = name
        self.folder = state / name
        self.prefix = f"tb-{name}-"
        self.hosts = {
            host: Host(host, Namespace(self.prefix + host), self.folder / host, init=init) for host in ("hq", "branch")
        }
        self.namespaces = {node: Namespace(self.prefix + node) for node in ("router", "lan-hq", "lan-branch")}

    @property
    def bridge(self) -> str:
        return f"tbr-{self.name}"

    @property
    def router(self) -> Namespace:
        return self.namespaces["router"]

    @property
    def ssh_config(self) -> Path:
        return self.folder / "ssh_config"

    @property
    def environment_file(self) -> Path:
        """`environment`, to be read by a shell."""
        return self.folder / "environment"

    @property
    def control_folder(self) -> Path:
        """Where ssh keeps its master connections: a socket's path is short, and a checkout's may not be."""
        return Path(f"/run/testbed-{self.name}")

    @property
    def addresses(self) -> dict[str, str]:
        """Each host's address on the management network. Raises FileNotFoundError while the bed is down."""
        addresses: dict[str, str] = json.loads((self.folder / "addresses.json").read_text())
        return addresses

    @property
    def environment(self) -> dict[str, str]:
        """What Ansible's environment has to say: where the collection is, how to log in, and to pipeline."""
        return {
            "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / "build" / "collections"),
            "ANSIBLE_SSH_COMMON_ARGS": f"-F {shlex.quote(str(self.ssh_config))}",
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.control_folder),
            "ANSIBLE_PIPELINING": "true",
        }

    def up(self) -> None:
        """Build it all and return when every host is booted.

        Raises BedExists, NoAddressLeft, CommandFailed or BootFailed; after all but the first nothing is left.
        """
        if self.folder.exists() or any(self._traces()):
            raise BedExists(f"the bed {self.name!r} exists already: python3 -m tests.testbed down {self.name}")
        try:
            self._build()
        except BaseException:
            self.down()
            raise

    def _build(self) -> None:
        (self.folder / "ssh").mkdir(parents=True)
        self.folder.chmod(0o700)
        self.control_folder.mkdir(mode=0o700)
        for namespace in (*(host.namespace for host in self.hosts.values()), *self.namespaces.values()):
            namespace.create()
        addresses = self._manage()
        (self.folder / "addresses.json").write_text(json.dumps(addresses))
        self._wire()
        key = self.folder / "ssh" / "id_ed25519"
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"testbed {self.name}", "-f", str(key)])
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda host: host.start(key.with_suffix(".pub").read_text()), self.hosts.values()))
            self._write_ssh(addresses)
            list(pool.map(lambda host: host.wait(addresses[host.name]), self.hosts.values()))

    def _manage(self) -> dict[str, str]:
        """Join the hosts to this machine over a bridge; returns each host's address."""
        ip(f"link add {self.bridge} type bridge", f"link set {self.bridge} up")
        with _one_at_a_time():
            network = self._free_network()
            machine, *free = (str(address) for address in network.hosts())
            ip(f"address add {machine}/{network.prefixlen} dev {self.bridge}")
        addresses = dict(zip(self.hosts, free, strict=False))
        for number, (name, host) in enumerate(self.hosts.items()):
            # The network's last octet makes a port's name that no other bed has.
            port = f"tbp{int(network.network_address) & 0xFF}-{number}"
            ip(
                f"link add {port} type veth peer name mgmt netns {host.namespace.name}",
                f"link set {port} master {self.bridge} up",
            )
            host.namespace.ip(f"address add {addresses[name]}/{network.prefixlen} dev mgmt", "link set mgmt up")
        return addresses

    def _free_network(self) -> ipaddress.IPv4Network:
        listed = json.loads(run(["ip", "-json", "-4", "address", "show"]).stdout)
        taken = [
            ipaddress.ip_network(f"{address['local']}/{address['prefixlen']}", strict=False)
            for link in listed
            for address in link.get("addr_info", [])
        ]
        first, *others = (ipaddress.IPv4Network(part) for part in MANAGEMENT.subnets(new_prefix=28))
        candidates = [first] if self.name == FIRST else others
        for candidate in candidates:
            if not any(candidate.overlaps(network) for network in taken):
                return candidate
        raise NoAddressLeft(f"this machine uses {', '.join(map(str, candidates))} already; the bed needs one of them")

    def _wire(self) -> None:
        """The networks between the sites, with every address and route."""
        router, hq, branch = self.router, self.hosts["hq"].namespace, self.hosts["branch"].namespace
        lan_hq, lan_branch = self.namespaces["lan-hq"], self.namespaces["lan-branch"]
        ip(
            f"link add wan netns {hq.name} type veth peer name wan-hq netns {router.name}",
            f"link add wan netns {branch.name} type veth peer name wan-branch netns {router.name}",
            f"link add lan netns {hq.name} type veth peer name lan netns {lan_hq.name}",
            f"link add lan netns {branch.name} type veth peer name lan netns {lan_branch.name}",
        )
        for namespace, interface, address in (
            (router, "wan-hq", "192.0.2.1"),
            (router, "wan-branch", "198.51.100.1"),
            (hq, "wan", "192.0.2.2"),
            (hq, "lan", "10.1.0.1"),
            (branch, "wan", "198.51.100.2"),
            (branch, "lan", "10.2.0.1"),
            (lan_hq, "lan", "10.1.0.2"),
            (lan_branch, "lan", "10.2.0.2"),
        ):
            namespace.ip(f"address add {address}/24 dev {interface}", f"link set {interface} up")
        for namespace in (router, hq, branch):
            namespace.forward()
        router.ip("route add 10.1.0.0/24 via 192.0.2.2", "route add 10.2.0.0/24 via 198.51.100.2")
        hq.ip("route add default via 192.0.2.1")
        branch.ip("route add default via 198.51.100.1")
        lan_hq.ip("route add default via 10.1.0.1")
        lan_branch.ip("route add default via 10.2.0.1")

    def _write_ssh(self, addresses: dict[str, str]) -> None:
        """What ssh and Ansible need to log in: keys known on both sides, nothing of the user's own."""
        known = [f"{name},{addresses[name]} {host.host_key}" for name, host in self.hosts.items()]
        (self.folder / "ssh" / "known_hosts").write_text("\n".join(known) + "\n")
        (self.folder / "ssh_config").write_text(
            "".join(f"Host {name}\n  HostName {address}\n" for name, address in addresses.items()) + "Host *\n"
            "  User root\n"
            f"  IdentityFile {self.folder}/ssh/id_ed25519\n"
            "  IdentitiesOnly yes\n"
            f"  UserKnownHostsFile {self.folder}/ssh/known_hosts\n"
            "  GlobalKnownHostsFile /dev/null\n"
            "  StrictHostKeyChecking yes\n"
            "  LogLevel ERROR\n"
        )
        self.environment_file.write_text(
            "".join(f"{key}={shlex.quote(value)}\n" for key, value in self.environment.items())
        )
        (self.folder / "inventory.yml").write_text(
            "---\nall:\n  hosts:\n"
            + "".join(f"    {name}: {{ansible_host: {address}}}\n" for name, address in addresses.items())
            + "  vars:\n"
            "    ansible_user: root\n"
            "    ansible_python_interpreter: /usr/bin/python3\n"
            "    ansible_pipelining: true\n"
            f"    ansible_ssh_common_args: -F {shlex.quote(str(self.ssh_config))}\n"
            f"    ansible_control_path_dir: {self.control_folder}\n"
        )

    def down(self) -> None:
        """Remove every trace of it: processes, cgroups, namespaces, links, mounts, folders. May be repeated."""
        for master in self.control_folder.glob("*"):
            run(["ssh", "-o", f"ControlPath={master}", "-O", "exit", "bed"], check=False)
        for name in self._namespaces():
            Namespace(name).delete()
        for cgroup in self._cgroups():
            Host(cgroup.name, Namespace(cgroup.name), self.folder).stop()
        for link in (*links(master=self.bridge), self.bridge):
            run(["ip", "link", "delete", link], check=False)
        tidy()
        shutil.rmtree(self.control_folder, ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        with suppress(OSError):
            self.folder.parent.rmdir()

    def _cgroups(self) -> list[Path]:
        root = cgroup_root()
        return [entry for entry in root.glob(f"{self.prefix}*") if entry.is_dir()] if root else []

    def _namespaces(self) -> list[str]:
        return [entry.name for entry in NAMESPACES.glob(f"{self.prefix}*")]

    def _traces(self) -> Iterator[bool]:
        yield bool(self._cgroups())
        yield bool(self._namespaces())
        yield Path(f"/sys/class/net/{self.bridge}").exists()
        yield self.control_folder.exists()

    def __enter__(self) -> "Bed":
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        self.down()


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Hold what only one bed of the machine may do at a time; a folder is locked, so no file is left behind."""
    folder = os.open("/run", os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)
