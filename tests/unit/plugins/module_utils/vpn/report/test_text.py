# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report for a terminal."""

from ikeengine.vpn.report import Judgement, render


def test_errors_come_first_and_a_last_line_counts(hq, judgement):
    hq["gateways"][0]["credential"]["psk"] = "short"
    lines = render("text", judgement()).splitlines()
    assert [line.partition(":")[0] for line in lines[:2]] == ["error", "warning"]
    assert lines[0].endswith("[psk-differs]")
    assert lines[2:] == ["1 error, 1 warning. 2 sites, 1 gateway and 1 tunnel were held against each other."]


def test_a_report_of_nothing():
    assert render("text", Judgement((), 0, ())) == (
        "0 errors, 0 warnings. 0 sites, 0 gateways and 0 tunnels were held against each other.\n")


def test_a_huge_fleet_is_cut_with_its_error_first(huge):
    lines = render("text", huge).splitlines()
    assert lines[0].startswith("error: gateway a<->b")
    assert (len(lines), lines[1000]) == (1002, "and 498,500 more findings")
