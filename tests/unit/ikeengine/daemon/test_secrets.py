# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What two daemons know and nobody else may: looked for in all that they say of themselves, at every log level."""

from __future__ import annotations

import base64
import dataclasses
import hmac
import io
import json
import logging
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from ikeengine.crypto import prf
from ikeengine.crypto.isakmp_keys import IsakmpKeys
from ikeengine.crypto.key_derivation import IkeKeys
from ikeengine.crypto.key_encapsulation import DecapsulationKey
from ikeengine.crypto.key_exchange import KeyExchange
from ikeengine.daemon.log import Level
from ikeengine.security_association import DirectionKeys

Pair = Any  # of conftest.py, which importlib mode keeps out of reach
Json = dict[str, Any]

ENOUGH = 8
"""Octets of a secret that would be too many."""


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> set[bytes]:
    """Every secret that comes to be: shared secrets, keys, all that a PRF gives."""
    found: set[bytes] = set()

    def digest(key: bytes, data: bytes, name: str) -> bytes:
        found.add(hmac.digest(key, data, name))
        return hmac.digest(key, data, name)

    def exchange(self: KeyExchange, public: bytes) -> bytes:
        secret = plain(self, public)
        found.add(secret)
        return secret

    def decapsulate(self: DecapsulationKey, ciphertext: bytes) -> bytes:
        secret = opened(self, ciphertext)
        found.add(secret)
        return secret

    plain, opened = KeyExchange.shared_secret, DecapsulationKey.shared_secret
    monkeypatch.setattr(DecapsulationKey, "shared_secret", decapsulate)
    monkeypatch.setattr(prf, "hmac", SimpleNamespace(digest=digest))
    monkeypatch.setattr(KeyExchange, "shared_secret", exchange)
    for kind in (IkeKeys, IsakmpKeys, DirectionKeys):
        def note(self: Any, *fields: bytes, make: Any = kind.__init__, **named: bytes) -> None:
            make(self, *fields, **named)
            found.update(getattr(self, field.name) for field in dataclasses.fields(self))

        monkeypatch.setattr(kind, "__init__", note)
    return found


@pytest.fixture
def said(pair: Pair, secrets: Json) -> Iterator[io.StringIO]:
    """All text that leaves a daemon; the standard library's loggers are open as wide as they go."""
    stream = io.StringIO()
    handler, root = logging.StreamHandler(stream), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)


PPK = bytes(range(200, 232))
HYBRID = {"credential": {"method": "psk", "ppk": {"id": "qkd-1"}, "ppk_key": f"0x{PPK.hex()}"}}


@pytest.mark.parametrize("gateway", [
    pytest.param({}, id="IKEv2"), pytest.param(HYBRID, id="IKEv2 hybrid with a PPK"),
    pytest.param({"ike_version": 1}, id="IKEv1 Main"),
    pytest.param({"ike_version": 1, "mode": "aggressive"}, id="IKEv1 Aggressive")])
@pytest.mark.parametrize("other_key", [False, True], ids=["up", "another key"])
def test_no_secret_is_in_what_a_daemon_says(pair: Pair, known: set[bytes], said: io.StringIO, secrets: Json,
                                            declare: Any, gateway: Json, other_key: bool) -> None:
    pair.hq_declares = declare("hq", **gateway)
    pair.branch_declares = declare("branch", start="answer", **gateway)
    if gateway is HYBRID:
        for declared in (pair.hq_declares, pair.branch_declares):
            for row in (declared["transforms"][0], declared["tunnels"][0]["pfs"]):
                row["additional_key_exchange"] = "ML-KEM-768"
    elif gateway:
        for declared in (pair.hq_declares, pair.branch_declares):
            declared["transforms"][0]["key_group"] = declared["tunnels"][0]["pfs"]["key_group"] = 14
    psk = secrets["gateways"]["peer"]["psk"]

    async def life() -> None:
        sides = (pair.hq, pair.branch)
        for side in sides:
            side.log.level = Level.DEBUG
        if other_key:
            other = {"version": 1, "gateways": {"peer": {"method": "psk", "psk": psk[::-1]}}}
            await pair.branch.ask("reload", declaration=pair.branch_declares, secrets=other)
            await pair.hq.ask("down", gateway="peer")  # what it began before that, the branch has forgotten
        for command, arguments in (("up", {"gateway": "peer", "timeout": 5}), ("rekey", {"tunnel": "lan"}),
                                   ("rekey", {"gateway": "peer"}), ("status", {}), ("log", {"lines": 1000}),
                                   ("abilities", {}), ("down", {"gateway": "peer"}), ("nonsense", {})):
            try:
                said.write(json.dumps(await pair.hq.ask(command, **arguments)))
            except Exception as error:
                said.write(f"{error} {error!r}")
            for side in sides:
                said.writelines(_looks(side.engine, 0, set()))
        for side in sides:
            said.write(side.log._stream.getvalue())
            said.writelines(json.dumps(entry.as_dict()) for entry in side.log.entries(2000))

    pair.run(life)
    secret = {psk.encode(), psk[::-1].encode(), PPK, *(row for row in known if len(row) >= ENOUGH)}
    assert len(secret) > 3
    text = said.getvalue()
    assert len(text) > 10_000
    assert "failed inside" not in text
    found = {form for row in secret for form in _forms(row) if form in text}
    assert not found


def test_a_secret_would_be_found() -> None:
    secret = bytes(range(100, 132))
    for text in (f"key {secret.hex()}", f"key {secret!r}", f"{base64.b64encode(b'x' + secret)!r}",
                 secret.hex(":").upper(), repr(list(secret)), f"{int.from_bytes(secret, 'big')}", str(secret[4:20])):
        assert any(form in text for form in _forms(secret)), text


def _looks(thing: object, depth: int, seen: set[int]) -> Iterator[str]:
    """What whatever a daemon consists of looks like in a traceback or a debugger's print."""
    if id(thing) in seen or depth > 7:
        return
    seen.add(id(thing))
    if type(thing).__module__.startswith("ikeengine."):
        yield f"{thing!r} {thing}\n"
        names = [name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())]
        for value in [*getattr(thing, "__dict__", {}).values(), *(getattr(thing, name, None) for name in names)]:
            yield from _looks(value, depth + 1, seen)
    elif isinstance(thing, dict):
        for value in list(thing.values()):
            yield from _looks(value, depth + 1, seen)
    elif isinstance(thing, list | tuple | set):
        for value in list(thing):
            yield from _looks(value, depth + 1, seen)


def _forms(secret: bytes) -> Iterator[str]:
    """Text that would give away a part of it that is large enough."""
    for start in range(0, len(secret) - ENOUGH + 1, 4):
        part = secret[start:start + ENOUGH]
        yield from (part.hex(), part.hex().upper(), part.hex(":"), part.hex(":").upper(), part.hex(" "))
        yield repr(part)[2:-1]
        yield ", ".join(map(str, part))
        if part.isascii() and part.decode().isprintable():
            yield part.decode()
    for skipped in range(3):  # base64 of it wherever it begins within a group of three octets
        yield base64.b64encode(bytes(skipped) + secret).decode()[4:-4]
    yield str(int.from_bytes(secret, "big"))
