# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Durations and amounts of traffic as people write them."""

import pytest
from ikeengine.vpn import durations


@pytest.mark.parametrize(("text", "seconds"), [
    (20, 20), ("20", 20), ("20s", 20), ("90 minutes", 5400), ("24h", 86400), ("1h30m", 5400), ("1 day", 86400),
    (" 8 Hours ", 28800), ("2d 1h", 176400), ("5 min", 300),
])
def test_durations(text, seconds):
    assert durations.parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "-5s", "1.5h", "5 parsecs", "8h!", "ten minutes"])
def test_what_is_no_duration(text):
    with pytest.raises(ValueError, match=r"it is no duration|is no unit of time"):
        durations.parse_duration(text)


@pytest.mark.parametrize("seconds", [1, 59, 60, 90, 3600, 5400, 86399, 86400, 365 * 86400])
def test_durations_survive_being_written(seconds):
    assert durations.parse_duration(durations.format_duration(seconds)) == seconds


def test_durations_are_written_in_the_largest_exact_unit():
    assert [durations.format_duration(seconds) for seconds in (20, 90, 5400, 86400)] == ["20s", "90s", "90m", "24h"]


@pytest.mark.parametrize(("text", "kilobytes"), [
    (128000, 128000), ("128000", 128000), ("128000 kB", 128000), ("128000kilobytes", 128000), ("125 MB", 128000),
    ("2 GiB", 2097152), ("1 terabyte", 1073741824),
])
def test_amounts_of_traffic(text, kilobytes):
    assert durations.parse_traffic(text) == kilobytes


@pytest.mark.parametrize("text", ["", "kB", "5 B", "5 octets", "1.5 GB", "-1 kB"])
def test_what_is_no_amount_of_traffic(text):
    with pytest.raises(ValueError, match="it is no amount of traffic"):
        durations.parse_traffic(text)
