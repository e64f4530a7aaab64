# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may import whom (docs/design.md, "The house"), read from the sources without running them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENGINE = ROOT / "files/ikeengine/ikeengine"
COLLECTION = "ansible_collections.tandem.vpn"

#: What a part of the daemon may import of ours, beside itself. The longest matching name decides.
MAY_IMPORT = {
    "vpn": set(),
    "layout": set(),
    "security_association": {"vpn"},
    "wire": {"vpn.algorithms"},
    "asn1": {"vpn"},
    "crypto": {"vpn.algorithms", "asn1"},
    "negotiation": {"vpn", "wire", "asn1"},
    "ike": {"vpn", "wire.header", "wire.constants", "asn1", "crypto", "negotiation", "security_association"},
    "ikev2": {"vpn", "wire", "crypto", "negotiation", "security_association", "ike"},
    "ikev1": {"vpn", "wire", "crypto", "negotiation", "security_association", "ike"},
    "sa_manager": {"vpn", "wire", "security_association", "ike", "ikev1", "ikev2", "sessions", "timers", "keep_up",
                   "peer", "declared", "senders", "overview", "renewal", "reload", "negotiation.reasons", "hints",
                   "losses"},
    "declared": {"vpn", "ike.rate", "peer", "reload"},
    "senders": {"ike", "security_association", "sessions"},
    "overview": {"vpn", "ike", "declared", "sessions", "status", "explanation"},
    "hints": {"vpn", "wire", "security_association"},
    "losses": {"vpn", "wire.header", "wire.errors", "ike", "security_association", "sessions", "declared", "keep_up",
               "hints"},
    "sessions": {"vpn", "ike", "wire.header"},
    "timers": set(),
    "peer": {"vpn", "ike", "security_association"},
    "keep_up": {"vpn", "ike", "negotiation.answers", "negotiation.reasons", "security_association", "peer", "sessions"},
    "renewal": {"ike", "keep_up", "peer", "sessions"},
    "reload": {"vpn"},
    "status": {"vpn", "security_association", "ike", "peer"},
    "dataplane": {"vpn", "crypto", "security_association"},
    "cli": {"layout", "vpn.explained", "vpn.by_hand"},
    "explanation": {"vpn", "negotiation", "ike", "status"},
    "daemon": {"vpn", "dataplane", "security_association", "crypto.key_encapsulation", "ike.events", "ike.context",
               "ike.certificate_doubts", "sa_manager", "reload", "status", "layout", ""},
    "__main__": {"daemon", "layout", ""},
}
#: No socket, no clock, no kernel below the daemon and the data planes; modules that would bring one in.
WORLD = {"asyncio", "socket", "select", "selectors", "time", "subprocess", "fcntl", "signal", "threading", "pyroute2",
         "ctypes"}
SANS_IO = ("vpn", "asn1", "wire", "crypto", "negotiation", "ike", "ikev1", "ikev2", "sa_manager", "sessions", "timers",
           "peer", "declared", "senders", "keep_up", "renewal", "reload", "status", "overview", "explanation", "hints",
           "losses", "security_association")


def _sources(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*.py") if "__pycache__" not in path.parts)


def _imports(path: Path, package: str) -> Iterator[str]:
    """Absolute names of all that ``path`` imports; ``package`` is the one that holds it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            base = parents[: len(parents) - node.level + 1] if node.level else []
            module = ".".join([*base, node.module] if node.module else base)
            yield from (f"{module}.{alias.name}" for alias in node.names)


def _engine_files() -> list[Path]:
    domain = ROOT / "plugins/module_utils/vpn"  # which the daemon sees through a link
    own = [path for path in _sources(ENGINE) if "vpn" not in path.relative_to(ENGINE).parts]
    return own + [ENGINE / "vpn" / path.relative_to(domain) for path in _sources(domain)]


def _module(path: Path) -> str:
    parts = ("ikeengine", *path.relative_to(ENGINE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _package(path: Path) -> str:
    return ".".join(("ikeengine", *path.relative_to(ENGINE).parent.parts))


@pytest.mark.parametrize("path", _engine_files(), ids=_module)
def test_a_part_imports_only_what_stands_below_it(path: Path) -> None:
    inside = _module(path).split(".")[1:]
    if not inside:
        return  # the package itself holds its version and nothing more, which the next line of tests sees
    part = inside[0]
    allowed = MAY_IMPORT[part] | {part}
    ours = [name.removeprefix("ikeengine").lstrip(".") for name in _imports(path, _package(path))
            if name.split(".")[0] == "ikeengine"]
    beyond = [name for name in ours
              if not any(name == wall or name.startswith(f"{wall}.") for wall in allowed if wall)
              and not ("" in allowed and name == "__version__")
              and name not in allowed]
    assert not beyond, f"{part} may not import {beyond}; see docs/design.md"


@pytest.mark.parametrize("path", [path for path in _engine_files() if _module(path).split(".")[1:2]
                                  and _module(path).split(".")[1] in SANS_IO], ids=_module)
def test_the_protocol_knows_no_socket_clock_or_kernel(path: Path) -> None:
    worldly = {name for name in _imports(path, _package(path)) if name.split(".")[0] in WORLD}
    assert not worldly, f"{path.name} imports {sorted(worldly)}; sessions get the time and datagrams as arguments"


def test_only_crypto_touches_the_cryptographic_library() -> None:
    offenders = [_module(path) for path in _engine_files()
                 if not _module(path).startswith("ikeengine.crypto")
                 and any(name.split(".")[0] == "cryptography" for name in _imports(path, _package(path)))]
    assert offenders == []


def test_ikectl_loads_only_the_standard_library_and_the_layout() -> None:
    names = {name.split(".")[0] for name in _imports(ENGINE / "cli.py", "ikeengine")}
    assert "asyncio" not in names and not names & {"cryptography", "pyroute2", "netaddr"}


@pytest.mark.parametrize("path", _sources(ROOT / "plugins/module_utils/vpn"), ids=lambda path: path.stem)
def test_the_domain_knows_no_ansible(path: Path) -> None:
    foreign = {name for name in _imports(path, "vpn") if name.split(".")[0] in {"ansible", "ansible_collections"}}
    assert not foreign


@pytest.mark.parametrize("path", [path for path in _sources(ROOT / "plugins")
                                  if "vpn" not in path.relative_to(ROOT / "plugins").parts], ids=lambda path: path.stem)
def test_the_collection_knows_the_domain_and_never_the_daemons_inside(path: Path) -> None:
    package = ".".join([COLLECTION, *path.parent.relative_to(ROOT).parts])
    inside = {name for name in _imports(path, package) if name.split(".")[0] == "ikeengine"}
    assert not inside


def test_every_part_of_the_daemon_has_its_wall() -> None:
    parts = {_module(path).split(".")[1] for path in _engine_files() if "." in _module(path)}
    assert parts <= set(MAY_IMPORT), f"say in docs/design.md and here what {parts - set(MAY_IMPORT)} may import"
