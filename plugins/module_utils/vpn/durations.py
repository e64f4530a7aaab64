# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Durations and amounts of traffic as people write them.

A duration is a number of seconds or ``24h``, ``90 minutes``, ``1h30m``; an amount is a number of kilobytes or
``128000 kB``, ``2 GB``. A kilobyte is 1024 octets, as IPsec counts lifetimes (RFC 2407 §4.5).
"""

from __future__ import annotations

import re

_SECONDS = {"s": 1, "sec": 1, "second": 1, "m": 60, "min": 60, "minute": 60, "h": 3600, "hour": 3600,
            "d": 86400, "day": 86400}
_KILOBYTES = {"k": 1, "m": 1024, "g": 1024 ** 2, "t": 1024 ** 3}
_PART = re.compile(r"(\d{1,15})\s*([a-z]+)\s*", re.ASCII)
_NUMBER = re.compile(r"\d{1,15}", re.ASCII)
_AMOUNT = re.compile(r"(\d{1,15})\s*(?:([kmgt])i?b|(kilo|mega|giga|tera)bytes?)", re.ASCII)


def parse_duration(value: str | int) -> int:
    """Seconds. Raises ValueError with a sentence that says what is wrong."""
    if isinstance(value, int):
        return value
    text = value.strip().lower()
    if _NUMBER.fullmatch(text):
        return int(text)
    total, position = 0, 0
    while match := _PART.match(text, position):
        number, unit = match.groups()
        scale = _SECONDS.get(unit) or _SECONDS.get(unit.removesuffix("s"))
        if scale is None:
            raise ValueError(f"{unit!r} is no unit of time")
        total, position = total + int(number) * scale, match.end()
    if position == 0 or position != len(text):
        raise ValueError("it is no duration")
    return total


def format_duration(seconds: int) -> str:
    """The shortest exact form in one unit: ``24h``, ``90m``, ``20s``."""
    for unit, scale in (("h", 3600), ("m", 60)):
        if seconds and seconds % scale == 0:
            return f"{seconds // scale}{unit}"
    return f"{seconds}s"


def parse_traffic(value: str | int) -> int:
    """Kilobytes. Raises ValueError with a sentence that says what is wrong."""
    if isinstance(value, int):
        return value
    text = value.strip().lower()
    if _NUMBER.fullmatch(text):
        return int(text)
    match = _AMOUNT.fullmatch(text)
    if match is None:
        raise ValueError("it is no amount of traffic")
    number, letter, word = match.groups()
    return int(number) * _KILOBYTES[letter or word[0]]


def format_traffic(kilobytes: int) -> str:
    return f"{kilobytes} kB"
