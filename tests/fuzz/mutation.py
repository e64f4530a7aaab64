# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes that keep an input's shape, so that they reach what is behind the first checks.

The fuzzer's own changes are made to the octets of one payload, or of the whole input; the rest is made to fit again.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from ikeengine.asn1 import der

from . import certificates, steps
from .chains import Payload, joined, split
from .decoders import CHAIN
from .feed import Feed
from .steps import Kind, Step

_INTERESTING = (0, 1, 2, 3, 4, 7, 8, 16, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF)
_MOST_BODY = 2048
_CONSTRUCTED, _OCTET_STRING = 0x20, 0x04

Change = Callable[[bytes, int], bytes]
"""The fuzzer's own: octets, and how many they may become."""


def mutate_chain(data: bytes, most: int, seed: int, change: Change) -> bytes:
    """An input of `decoders`."""
    rng, feed = random.Random(seed), Feed(data)
    if rng.random() < 0.3 or feed.octet() % 2 != CHAIN:
        return change(data, most)
    first_type, body = _mutated_chain(rng, feed.octet(), feed.rest(), change)
    return (bytes([CHAIN, first_type]) + body)[:most]


def mutate_steps(data: bytes, most: int, seed: int, change: Change) -> bytes:
    """An input for live sessions."""
    rng, feed = random.Random(seed), Feed(data)
    if rng.random() < 0.15:
        return change(data, most)
    scenario, rows = feed.octet(), steps.read(feed)
    match rng.randrange(12):
        case 0:
            scenario ^= 1 << rng.randrange(8)
        case 1 if rows:
            del rows[rng.randrange(len(rows))]
        case 2 if rows:
            rows.insert(rng.randrange(len(rows) + 1), replace(rng.choice(rows)))
        case 3:
            rows.insert(rng.randrange(len(rows) + 1), Step(Kind.ORDER, first_type=rng.randrange(256)))
        case _ if rows:
            _change_step(rng, rng.choice(rows), change)
    return steps.encode(scenario, rows)[:most]


def mutate_certificates(data: bytes, most: int, seed: int, change: Change) -> bytes:
    """An input of `certificates`."""
    rng, feed = random.Random(seed), Feed(data)
    if rng.random() < 0.1:
        return change(data, most)
    head = feed.octet()
    if head & certificates.NAMES:
        return (bytes([head]) + _mutated_der(rng, feed.rest(), change))[:most]
    items = []
    while feed and len(items) < certificates.MOST:
        items.append((feed.octet(), feed.sized()))
    match rng.randrange(10):
        case 0:
            head = rng.randrange(4)
        case 1 if items:
            del items[rng.randrange(len(items))]
        case 2 if items:
            items.insert(rng.randrange(len(items) + 1), rng.choice(items))
        case _ if items:
            place = rng.randrange(len(items))
            kind, octets = items[place]
            items[place] = ((rng.randrange(8), octets) if rng.random() < 0.05
                            else (kind, _mutated_der(rng, octets, change)))
    return (bytes([head]) + b"".join(certificates.item(*row) for row in items))[:most]


def _mutated_der(rng: random.Random, data: bytes, change: Change) -> bytes:
    """The change is made to one element, somewhere inside, and all lengths around it are made right."""
    try:
        rows = [(row.tag, row.body) for row in der.elements(data)]
    except der.DerError:
        rows = []
    if not rows or rng.random() < 0.05:
        return change(data, len(data) + 8) if data else rng.randbytes(4)
    place = rng.randrange(len(rows))
    tag, body = rows[place]
    if tag & _CONSTRUCTED or (tag == _OCTET_STRING and rng.random() < 0.8):
        rows[place] = tag, _mutated_der(rng, body, change)
    else:
        match rng.randrange(8):
            case 0:
                rows[place] = rng.randrange(256) & ~0x1F | rng.randrange(0x1F), body
            case 1:
                del rows[place]
            case 2:
                rows.insert(place, rows[place])
            case _:
                rows[place] = tag, change(body, len(body) + 8) if body else rng.randbytes(2)
    return b"".join(der.encode(*row) for row in rows)


def _change_step(rng: random.Random, step: Step, change: Change) -> None:
    match rng.randrange(16):
        case 0:
            step.kind = rng.choice(tuple(Kind))
        case 1:
            step.exchange = rng.randrange(8)
        case 2:
            step.other = rng.choice((0, 1, 2, 0x08, 0x20, 0x28))
        case 3:
            step.fragment = rng.choice((None, (1, 1), (1, 2), (2, 2), (0, 1), (3, 2), (1, 255)))
        case 4:
            step.oldest = not step.oldest
        case _ if step.kind in (Kind.DATAGRAM, Kind.ORDER):
            step.body = change(step.body, len(step.body) + 16) if step.body else step.body
        case _:
            step.first_type, step.body = _mutated_chain(rng, step.first_type, step.body, change)


def _mutated_chain(rng: random.Random, first_type: int, data: bytes, change: Change) -> tuple[int, bytes]:
    payloads = split(first_type, data)
    if payloads is None or rng.random() < 0.1:
        return first_type, change(data, len(data) + 16) if data else data
    match rng.randrange(10):
        case 0 if payloads:
            del payloads[rng.randrange(len(payloads))]
        case 1 if payloads:
            payloads.insert(rng.randrange(len(payloads) + 1), rng.choice(payloads))
        case 2:
            rng.shuffle(payloads)
        case 3:
            payloads.insert(rng.randrange(len(payloads) + 1),
                            (rng.choice((*range(1, 21), *range(33, 54), 128, 130, 255)), 0, rng.randbytes(4)))
        case _ if payloads:
            place = rng.randrange(len(payloads))
            payloads[place] = _changed(rng, payloads[place], change)
    return joined(payloads)


def _changed(rng: random.Random, payload: Payload, change: Change) -> Payload:
    kind, second, body = payload
    match rng.randrange(8):
        case 0:
            return rng.randrange(256), second, body
        case 1:
            return kind, second ^ 0x80, body
        case 2 if len(body) >= 2:
            place = rng.randrange(len(body) - 1)
            number = rng.choice(_INTERESTING).to_bytes(2, "big")
            return kind, second, body[:place] + number + body[place + 2:]
        case 3:
            return kind, second, body[:rng.randrange(len(body) + 1)]
        case _:
            return kind, second, change(body, min(len(body) + 8, _MOST_BODY)) if body else rng.randbytes(4)
