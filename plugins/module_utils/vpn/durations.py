# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Durations and amounts of traffic as people write them.

A duration is a number of seconds or ``24h``, ``1.5 hours``, ``1h30m``, ``1 hour and 30 minutes``; an amount is a number
of kilobytes or ``128,000 kB``, ``2 GB``, ``2G``. A kilobyte is 1024 octets, as IPsec counts lifetimes (RFC 2407 §4.5).
A point has one or two digits behind it: three could be thousands.
"""

from __future__ import annotations

import re
from fractions import Fraction

_SECONDS = {"s": 1, "sec": 1, "second": 1, "m": 60, "min": 60, "minute": 60, "h": 3600, "hr": 3600, "hour": 3600,
            "d": 86400, "day": 86400, "w": 604800, "wk": 604800, "week": 604800}
_KILOBYTES = {"": 1, "k": 1, "m": 1024, "g": 1024 ** 2, "t": 1024 ** 3}
_NUMBER = re.compile(r"\d{1,15}", re.ASCII)
_PART = re.compile(r"(\d{1,15}(?:\.\d{1,2})?)\s*([a-z]+)", re.ASCII)
_DURATION = re.compile(rf"{_PART.pattern}(?:(?:\s*,)?(?:\s+and\s)?\s*{_PART.pattern})*", re.ASCII)
_AMOUNT = re.compile(r"((?:\d{1,15}|\d{1,3}(?:,\d{3}){1,4})(?:\.\d{1,2})?)\s*"
                     r"(?:([kmgt])(?:i?b)?|(kilo|mega|giga|tera)bytes?)?", re.ASCII)


def parse_duration(value: str | int) -> int:
    """Seconds. Raises ValueError with a sentence that says what is wrong."""
    if isinstance(value, int):
        return value
    text = value.strip().lower()
    if _NUMBER.fullmatch(text):
        return int(text)
    if not _DURATION.fullmatch(text):
        raise ValueError("it is no duration")
    return _whole(sum(Fraction(number) * _seconds(unit) for number, unit in _PART.findall(text)), "seconds")


def _seconds(unit: str) -> int:
    scale = _SECONDS.get(unit) or _SECONDS.get(unit.removesuffix("s"))
    if scale is None:
        raise ValueError(f"{unit!r} is no unit of time")
    return scale


def _whole(amount: Fraction | int, unit: str) -> int:
    if amount != int(amount):
        raise ValueError(f"it is no whole number of {unit}")
    return int(amount)


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
    match = _AMOUNT.fullmatch(value.strip().lower())
    if match is None:
        raise ValueError("it is no amount of traffic")
    number, letter, word = match.groups("")
    return _whole(Fraction(number.replace(",", "")) * _KILOBYTES[letter or word[:1]], "kilobytes")


def format_traffic(kilobytes: int) -> str:
    return f"{kilobytes} kB"
