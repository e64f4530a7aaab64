# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What models and firmware are known by, and the selectors that tunnel routes are made of."""

import pytest
from ikeengine.vpn import algorithms, hardware
from ikeengine.vpn.algorithms import Use
from ikeengine.vpn.reading import Misfit
from ikeengine.vpn.selectors import Selector


def test_sixteen_models_lack_sha2():
    assert sorted(int(model.removeprefix("XTM ")) for model in hardware.MODELS_WITHOUT_SHA2) == [
        21, 22, 23, 505, 510, 515, 520, 525, 530, 535, 545, 810, 820, 830, 1050, 2050]


@pytest.mark.parametrize(("text", "model"), [
    ("Linux", "linux"), ("xtm-21", "XTM 21"), ("XTM 25w", "XTM 25W"), ("XTM505", "XTM 505"), ("XTM 21-W", "XTM 21-W"),
    ("XTM 5 Series 505", "XTM 505"), ("WatchGuard Firebox XTM 505", "XTM 505"), ("xtm 1050-f", "XTM 1050-F"),
    ("XTM 5 Series", "XTM 5 Series"), ("Firebox T45", "Firebox T45")])
def test_models_have_one_form(text, model):
    assert hardware.parse_model(text) == model
    assert hardware.parse_model(model) == model


@pytest.mark.parametrize(("text", "lacks"), [
    ("XTM 505", True), ("XTM505", True), ("WatchGuard XTM 505", True), ("Firebox XTM 505", True),
    ("XTM 5 Series 505", True), ("XTM 21-W", True), ("XTM 22-W", True), ("XTM 23-W", True), ("XTM 21W", True),
    ("XTM 21 w", True), ("XTM 1050-F", True), ("XTM 330", False), ("XTM 25-W", False), ("XTM 26-W", False),
    ("XTM 5 Series", False), ("XTM 21 Series 25", False), ("XTM 2", False), ("XTM 1520-RP", False),
    ("Firebox T45", False), ("Cisco 505", False), ("linux", False)])
def test_a_model_lacks_sha2_however_it_is_spelt(text, lacks):
    assert hardware.lacks_sha2(hardware.parse_model(text)) is lacks


@pytest.mark.parametrize(("model", "is_fireware"), [
    ("Firebox T45", True), ("XTM 505", True), ("M370", True), ("T20-W", True), ("FireboxV", True), ("linux", False),
    ("ISR 4331", False), ("MX68", False), ("T1000X", False)])
def test_which_platforms_run_fireware(model, is_fireware):
    assert hardware.is_fireware(hardware.parse_model(model)) is is_fireware


def test_makes():
    assert [hardware.make(model, managed=managed) for model, managed in (
        ("XTM 505", False), ("Firebox T45", False), ("linux", True), ("linux", False), ("ISR 4331", False),
        ("Cisco 891", False), ("cisco 1841", False))] == [
        "Fireware", "Fireware", "ikeengine", "something else on Linux", "ISR", "CISCO", "CISCO"]


def test_what_ikev1_has_no_numbers_for():
    assert [row.number for row in algorithms.KEY_GROUPS if Use.IKEV1 not in row.uses] == [31, 32]
    assert [row.name for row in algorithms.ENCRYPTIONS if row.ipsec_doi_id is None] == ["ChaCha20-Poly1305"]
    assert all(row.aead for row in algorithms.ENCRYPTIONS if Use.IKEV1 not in row.uses)


@pytest.mark.parametrize(("firmware", "ability", "able"), [
    ("12.10", hardware.GROUP_21, True), ("12.9.9", hardware.GROUP_21, False), ("12.10.1", hardware.GROUP_21, True),
    ("11.11.2", hardware.IKEV2, True), ("11.11", hardware.IKEV2, False), (None, hardware.HEX_PSK, True),
    ("12.10.B662", hardware.GROUP_21, True), ("12.9_U10", hardware.GROUP_21, False),
    ("11.11 Update 2", hardware.IKEV2, False), ("11.11.2 Update 1", hardware.IKEV2, True)])
def test_versions_compare_by_numbers(firmware, ability, able):
    assert hardware.has_ability(firmware, ability) is able


@pytest.mark.parametrize(("text", "firmware"), [
    ("v12.5.3", "12.5.3"), ("12.5.9.B662", "12.5.9.B662"), ("12.5.7_U3", "12.5.7_U3"), (" 12.5.3 Update 1 ",
                                                                                       "12.5.3 Update 1"),
    ("12.5.7 Update 3 (Build 655123)", "12.5.7 Update 3 (Build 655123)"), ("12.5.9 B662", "12.5.9 B662"), (12, "12")])
def test_firmware_is_read_as_fireware_writes_it(text, firmware):
    assert hardware.parse_firmware(text) == hardware.parse_firmware(firmware) == firmware


@pytest.mark.parametrize("value", ["", "latest", "12.", "12.5.9.B", "12.5 Update", "12.5 beta 1", 12.5, True])
def test_what_is_no_firmware(value):
    with pytest.raises(Misfit, match="a firmware version is numbers joined by dots"):
        hardware.parse_firmware(value)


@pytest.mark.parametrize(("text", "shown", "prefixes"), [
    ("192.0.2.7", "192.0.2.7", 1), ("192.0.2.7/32", "192.0.2.7", 1), ("10.1.0.0-10.1.0.255", "10.1.0.0/24", 1),
    ("10.1.0.1 - 10.1.0.6", "10.1.0.1-10.1.0.6", 4), ("2001:db8::/64", "2001:db8::/64", 1), ("::/0", "::/0", 1)])
def test_selectors_have_one_form(text, shown, prefixes):
    selector = Selector.parse(text)
    assert str(selector) == shown
    assert Selector.parse(shown) == selector
    assert len(selector.prefixes()) == prefixes


@pytest.mark.parametrize(("text", "sentence"), [
    ("10.1.0.1/24", "10.1.0.1/24 has host bits set; the network is 10.1.0.0/24"),
    ("10.1.0.0/33", "'10.1.0.0/33' is no host, network or address range"),
    ("10.1.0.9-10.1.0.1", "10.1.0.9 comes after 10.1.0.1"), ("10.1.0.1-::1", "are of different address families")])
def test_what_is_no_selector(text, sentence):
    with pytest.raises(ValueError, match=sentence):
        Selector.parse(text)
