# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Durations and amounts of traffic as people write them."""

import pytest
from ikeengine.vpn import durations


@pytest.mark.parametrize(("text", "seconds"), [
    (20, 20), ("20", 20), ("20s", 20), ("90 minutes", 5400), ("24h", 86400), ("1h30m", 5400), ("1 day", 86400),
    (" 8 Hours ", 28800), ("2d 1h", 176400), ("5 min", 300), ("1 week", 604800), ("1w", 604800), ("2 wks", 1209600),
    ("8 hrs", 28800), ("8hr", 28800), ("1.5h", 5400), ("0.25 days", 21600), ("1h, 30m", 5400),
    ("1 hour and 30 minutes", 5400), ("1 day, 2 hours, and 3 minutes", 93780), ("1h 1.5m", 3690),
])
def test_durations(text, seconds):
    assert durations.parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "-5s", "1,5h", "1.500h", "1.5", ".5h", "5 parsecs", "8h!",
                                  "ten minutes", "1h,", "1h and", ", 1h", "1h,,1m", "1h and, 1m", "and 1h", "1hand1m",
                                  "1h30", "8 hss", "1.01s"])
def test_what_is_no_duration(text):
    with pytest.raises(ValueError, match=r"it is no duration|is no unit of time|is no whole number of seconds"):
        durations.parse_duration(text)


@pytest.mark.parametrize("seconds", [1, 59, 60, 90, 3600, 5400, 86399, 86400, 365 * 86400])
def test_durations_survive_being_written(seconds):
    assert durations.parse_duration(durations.format_duration(seconds)) == seconds


def test_durations_are_written_in_the_largest_exact_unit():
    assert [durations.format_duration(seconds) for seconds in (20, 90, 5400, 86400)] == ["20s", "90s", "90m", "24h"]


@pytest.mark.parametrize(("text", "kilobytes"), [
    (128000, 128000), ("128000", 128000), ("128000 kB", 128000), ("128000kilobytes", 128000), ("125 MB", 128000),
    ("2 GiB", 2097152), ("1 terabyte", 1073741824), ("2G", 2097152), ("128000k", 128000), ("128,000 kB", 128000),
    ("1,048,576", 1048576), ("1.5 GB", 1572864), ("0.5 MB", 512),
])
def test_amounts_of_traffic(text, kilobytes):
    assert durations.parse_traffic(text) == kilobytes


@pytest.mark.parametrize("text", ["", "kB", "5 B", "5 octets", "-1 kB", "1.5", "128.000 kB", "1,5 GB", "12,80 kB",
                                  "1,0000", "1.5 kB", "1,024.5 kB", "1 kilo", "2 Gi"])
def test_what_is_no_amount_of_traffic(text):
    with pytest.raises(ValueError, match=r"it is no amount of traffic|is no whole number of kilobytes"):
        durations.parse_traffic(text)
