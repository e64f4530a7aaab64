# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report for a merge request, read back with a renderer of GitHub Flavored Markdown's tables."""

import re
import time
from html.parser import HTMLParser

import pytest
from ikeengine.vpn import declaration
from ikeengine.vpn.findings import Finding, Severity
from ikeengine.vpn.report import Judgement, Position, render
from markdown_it import MarkdownIt

OURS = {"h2", "h3", "p", "strong", "table", "thead", "tbody", "tr", "th", "td", "code", "br", "details", "summary",
        "ul", "li"}


class Page(HTMLParser):
    """The elements of a page, the attributes that any has, and the text of each cell."""

    def __init__(self, markdown: str) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.cells: list[str] = []
        self.text = ""
        self.feed(MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown))

    def handle_starttag(self, tag, attrs):
        self.elements.add(tag)
        self.attributes += attrs
        if tag == "td":
            self.cells.append("")

    def handle_data(self, data):
        self.text += data
        if self.cells:
            self.cells[-1] += data.strip("\n")


def test_two_ends_that_agree_are_two_lines(judgement):
    assert render("markdown", judgement()) == (
        "## IPsec validation: ✅ the ends agree\n\n**0 errors, 0 warnings.** 2 sites, 1 gateway and 1 tunnel were held "
        "against each other; 1 of 1 would come up.\n")


def test_a_finding_is_a_row_and_its_fix_is_folded_under_the_table(branch, judgement):
    branch["transforms"][0]["encryption"] = "AES-128"
    text = render("markdown", judgement(), lambda site, path: Position(f"host_vars/{site}.yml", 12, 3))
    assert text.startswith("## IPsec validation: ❌ failed\n\n**1 error, 0 warnings.** 2 sites,")
    page = Page(text)
    assert page.cells[:4] == ["branch ↔ hq", "gateway hq<->branch", "phase 1 encryption",
                              "hq offers AES-256branch offers AES-128"]
    assert page.elements <= OURS
    assert "Fix: Set encryption to AES-256 in branch's transform p1" in page.text
    assert "Written at host_vars/hq.yml:12, host_vars/branch.yml:12." in page.text
    assert text.index("<details>") > text.index("| <code>") > text.index("### 1 error")


def test_errors_and_warnings_have_a_table_each_grouped_by_their_sites(hq, branch, judgement):
    hq["gateways"][0]["credential"]["psk"] = "short"
    hq["tunnels"][0]["pfs"] = {"enabled": False}
    branch["tunnels"][0]["pfs"] = {"enabled": False}
    text = render("markdown", judgement())
    assert re.findall(r"^### .*", text, re.M) == ["### 1 error", "### 3 warnings"]
    assert re.findall(r"<summary>([^<:]*)", text) == ["branch &#8596; hq", "branch", "hq"]


def test_nothing_that_a_declaration_holds_means_anything(hostile):
    text = render("markdown", hostile)
    page = Page(text)
    assert page.elements <= OURS
    assert page.attributes == []
    assert len(re.findall(r"^\| .* \|$", text, re.M)) == 2  # the heading and the one row
    assert len(page.cells) == 5
    assert "x|y`z*[a](http://evil.example)<img src=x onerror=alert(1)> @everyone #1 {0} &amp; \\  ## h" in page.text
    assert "@\u2060everyone" in page.text  # outside of <code> no forge takes it for a mention
    outside = re.sub(r"<code>.*?</code>", "", text)
    assert not re.search(r"http:|@|evil\]|(?<!&)#1\b", outside.replace("### ", ""))


def test_a_huge_fleet_is_cut_and_says_how_many_more_there_are(huge):
    began = time.perf_counter()
    text = render("markdown", huge)
    assert time.perf_counter() - began < 2
    assert len(text) < 65_536
    assert text.index("psk-differs") < text.index("### 499,499 warnings")
    (more,) = re.findall(r"\*\*And ([\d,]+) more warnings\.\*\*", text)
    assert int(more.replace(",", "")) + len(re.findall(r"^- ", text, re.M)) - 1 == 499_499
    assert "| <code>pfs-off</code> | 499,499 |" in text


def test_long_values_do_not_make_it_longer_than_a_comment_may_be(hostile):
    (finding,) = hostile.findings
    text = render("markdown", Judgement([finding] * 100, 2, ()))
    assert len(text) < 65_536
    assert "more errors" in text


def test_a_declaration_that_cannot_be_read_is_no_verdict_on_the_ends(hostile):
    text = render("markdown", Judgement(hostile.findings, 2, None))
    assert text.startswith("## IPsec validation: ❌ failed\n\n**1 error, 0 warnings.** A declaration cannot be read,")


def test_a_declaration_that_is_none_is_named_all_the_same():
    with pytest.raises(declaration.DeclarationError) as caught:
        declaration.read([], site_name="hq")
    (finding,) = caught.value.findings
    assert finding.message.startswith("hq: is a list: a mapping of fields is needed here.")
    page = Page(render("markdown", Judgement([finding], 1, None)))
    assert page.cells[:4] == ["hq", "declaration", "declaration", "is a list"]
    assert "declaration (declaration-wrong-type): a mapping" in page.text


def test_no_two_ends_are_no_agreement():
    assert "⚠️ there are no two ends to hold against each other" in render("markdown", Judgement((), 1, ()))


def test_what_is_wrong_with_a_fleet_is_said_of_all_sites():
    finding = Finding("declaration-joined-twice", Severity.ERROR, "ipsec_fleet.links[1]", "joins", "", "once", "Fix")
    page = Page(render("markdown", Judgement([finding], 1, None)))
    assert page.cells[:3] == ["all sites", "declaration", "ipsec_fleet.links[1]"]
