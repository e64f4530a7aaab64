# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Octets that a key made are compared in a time that does not tell where they differ: by `hmac.compare_digest`."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ikeengine.crypto import ciphers, key_encapsulation, key_exchange, prf
from ikeengine.ike.context import Settings
from ikeengine.ikev2 import cookies
from ikeengine.vpn.model import Side

from tests.support import ikev1
from tests.support import virtual_network as ikev2

ENGINE = Path(__file__).parents[3] / "files/ikeengine/ikeengine"
SECRET = re.compile(r"_?(icv|cookie|proof|proven|psk|psk_auth|secrets?|shared_secret|skeyid\w*|sk_\w+|skeyseed|prf"
                    r"|hash_[123]|expected_hash|expected)")
"""Names that hold such octets, or functions that make them."""
CBC = {**ikev2.TRANSFORM, "encryption": "AES-128"}
HYBRID = {
    "transforms": ({**ikev2.TRANSFORM, "additional_key_exchange": "ML-KEM-768"},),
    "pfs": {"enabled": True, "key_group": 31, "additional_key_exchange": "ML-KEM-768"},
    "gateway": {"credential": {"method": "psk", "psk": ikev2.PSK, "ppk": {"id": "qkd"}, "ppk_key": "0x" + "5a" * 32}}}


class Watched(bytes):
    """Octets that note where they are compared by an operator."""

    seen: list[str]

    def _note(self) -> None:
        frame = sys._getframe(2)
        self.seen.append(f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}")

    def __eq__(self, other: object) -> bool:
        self._note()
        return bytes(self) == other

    def __ne__(self, other: object) -> bool:
        self._note()
        return bytes(self) != other

    __hash__ = bytes.__hash__


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Where octets that a key or a key exchange made were compared otherwise."""
    Watched.seen = []

    def watch(owner: Any, name: str) -> None:
        plain: Callable[..., bytes] = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *given, **named: Watched(plain(*given, **named)))

    for module in [module for name, module in sys.modules.items() if name.startswith("ikeengine.")]:
        for name, value in vars(module).copy().items():
            if value is prf.prf:
                watch(module, name)
    make = ciphers.Integrity.__init__

    def made(integrity: ciphers.Integrity, *given: Any) -> None:
        make(integrity, *given)
        icv = integrity.icv
        integrity.icv = lambda *parts: Watched(icv(*parts))

    monkeypatch.setattr(ciphers.Integrity, "__init__", made)
    watch(key_exchange.KeyExchange, "shared_secret")
    watch(key_encapsulation.DecapsulationKey, "shared_secret")
    watched = cookies.Cookies._cookie
    monkeypatch.setattr(cookies.Cookies, "_cookie", staticmethod(lambda *given: Watched(watched(*given))))
    return Watched.seen


def _ends(version: int, **options: Any) -> tuple[Side, Side]:
    hq, branch = (ikev1.hq, ikev1.branch) if version == 1 else (ikev2.hq, ikev2.branch)
    return hq(**options), branch(**{"start": "answer", **options})


@pytest.mark.parametrize(("version", "options"), [
    pytest.param(2, {}, id="AEAD"), pytest.param(2, {"transforms": (CBC,)}, id="CBC"),
    pytest.param(2, HYBRID, id="hybrid with a PPK"),
    pytest.param(1, {}, id="Main Mode"), pytest.param(1, {"gateway": {"mode": "aggressive"}}, id="Aggressive Mode")])
def test_a_life_of_two_daemons(version: int, options: dict[str, Any], compared: list[str]) -> None:
    settings = Settings(cookie_threshold=0) if version == 2 else Settings()
    network, one, other = ikev2.pair(*_ends(version, **options), settings=settings)
    network.start()
    one.manager.initiate("peer", network.now)
    network.run(2)
    for end in (one, other):
        end.manager.rekey_child("lan", network.now)
        network.run(20)
        end.manager.rekey_ike("peer", network.now)
        network.run(20)
    ikev2.agree(one, other, routes=1)
    one.manager.terminate("peer", network.now)
    network.run(2)
    assert compared == []


@pytest.mark.parametrize("version", [1, 2])
def test_another_key(version: int, compared: list[str]) -> None:
    one, _same = _ends(version)
    _same, other = _ends(version, psk="another key altogether")
    network, near, far = ikev2.pair(one, other)
    network.start()
    near.manager.initiate("peer", network.now)
    network.run(60)
    assert near.reasons + far.reasons
    assert compared == []


def test_octets_are_watched(compared: list[str]) -> None:
    assert ciphers.Integrity.icv is not None
    assert Watched(b"a") == b"a"
    assert len(compared) == 1


def test_no_name_of_such_octets_stands_beside_an_operator() -> None:
    found = [f"{path.relative_to(ENGINE)}:{node.lineno}: {ast.unparse(node)}"
             for path in sorted(ENGINE.rglob("*.py")) if "vpn" not in path.relative_to(ENGINE).parts
             for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
             if isinstance(node, ast.Compare)
             and any(isinstance(operator, ast.Eq | ast.NotEq | ast.In | ast.NotIn) for operator in node.ops)
             and any(SECRET.fullmatch(_name(operand)) for operand in (node.left, *node.comparators))]
    assert found == [], "compare them by hmac.compare_digest"


def _name(node: ast.expr) -> str:
    """The last word of what is compared: of a function that is called, its name."""
    match node:
        case ast.Name(name) | ast.Attribute(attr=name):
            return name
        case ast.Call(func=inner) | ast.Subscript(value=inner):
            return _name(inner)
    return ""
