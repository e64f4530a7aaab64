# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Key exchanges that cost little, and are the same each time: for tests and benches that are not about them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from ikeengine.crypto import key_encapsulation
from ikeengine.crypto.key_exchange import KeyExchange
from ikeengine.vpn.algorithms import KeyGroup

_made: dict[int, KeyExchange] = {}


class _SamePrivateKey:
    """In the place of a class of ML-KEM private keys."""

    def __init__(self, kind: Any) -> None:
        self._key = kind.generate()

    def generate(self) -> Any:
        return self._key


class _SameAnswer:
    """In the place of a class of ML-KEM public keys: the answer to the first key is always the same."""

    def __init__(self, kind: Any) -> None:
        self._kind = kind
        self._first: tuple[bytes, tuple[bytes, bytes]] | None = None

    def from_public_bytes(self, data: bytes) -> Any:
        key = self._kind.from_public_bytes(data)
        if self._first is None:
            self._first = data, key.encapsulate()
        first, answer = self._first
        return SimpleNamespace(encapsulate=lambda: answer) if data == first else key


@contextmanager
def one_for_each_group() -> Iterator[None]:
    """While the context lasts: what takes most of the time and would differ each time."""
    kept = [(kinds, dict(kinds)) for kinds in (key_encapsulation.MLKEM_PRIVATE_KEYS,
                                               key_encapsulation.MLKEM_PUBLIC_KEYS)]
    make = KeyExchange.__init__

    def copy(self: KeyExchange, group: KeyGroup) -> None:
        if group.number not in _made:
            make(self, group)
            _made[group.number] = self
        pair = _made[group.number]
        self.group, self._key_pair, self.public = pair.group, pair._key_pair, pair.public

    for (kinds, before), stand_in in zip(kept, (_SamePrivateKey, _SameAnswer), strict=True):
        kinds.update({name: stand_in(kind) for name, kind in before.items()})
    KeyExchange.__init__ = copy  # type: ignore[method-assign]
    try:
        yield
    finally:
        KeyExchange.__init__ = make  # type: ignore[method-assign]
        for kinds, before in kept:
            kinds.update(before)
