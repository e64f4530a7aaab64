# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Traffic selectors, RFC 7296 §3.13."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from ikeengine.wire.errors import MalformedMessage
from ikeengine.wire.traffic_selectors import (
    TrafficSelector,
    TrafficSelectorsInitiator,
    TrafficSelectorsResponder,
)

V4 = "07 00 0010 0000 ffff 0a010000 0a0100ff"
V6 = (
    "08 06 0028 0050 0051"  # TCP, ports 80 to 81
    "20010db8000000000000000000000000"
    "20010db800000000000000000000ffff"
)
LABEL = "0a 00 0007 616263"  # TS_SECLABEL (RFC 9478), unknown here
V4_VALUE = TrafficSelector(IPv4Address("10.1.0.0"), IPv4Address("10.1.0.255"))
V6_VALUE = TrafficSelector(IPv6Address("2001:db8::"), IPv6Address("2001:db8::ffff"), 6, 80, 81)


@pytest.mark.parametrize("cls", [TrafficSelectorsInitiator, TrafficSelectorsResponder])
def test_layout(cls):
    data = bytes.fromhex("02 000000" + V4 + V6)
    value = cls((V4_VALUE, V6_VALUE))
    assert cls.decode_body(data) == value
    assert value.encode_body() == data


@pytest.mark.parametrize("size", range(4 + 16 + 40))
def test_truncation(size):
    with pytest.raises(MalformedMessage, match="TS_I"):
        TrafficSelectorsInitiator.decode_body(bytes.fromhex("02 000000" + V4 + V6)[:size])


def test_unknown_types_are_left_out():
    data = bytes.fromhex("03 000000" + LABEL + V4 + LABEL)
    assert TrafficSelectorsInitiator.decode_body(data).selectors == (V4_VALUE,)
    assert TrafficSelectorsInitiator.decode_body(bytes.fromhex("01 000000" + LABEL)).selectors == ()
    assert TrafficSelectorsInitiator.decode_body(bytes(4)).selectors == ()


def test_opaque_ports_are_kept():
    data = bytes.fromhex("01 000000 07 00 0010 ffff 0000 0a010000 0a0100ff")
    (selector,) = TrafficSelectorsResponder.decode_body(data).selectors
    assert (selector.first_port, selector.last_port) == (65535, 0)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("01 000000" + V4 + V4, "16 octets after the last selector"),
        ("01 000000 07 00 0010 0000 ffff 0a010001 0a010000", "10.1.0.1 is after 10.1.0.0"),
        ("01 000000 07 00 0028" + V6.removeprefix("08 06 0028"), "40 octets, 16 expected"),
        ("01 000000 08 00 0010" + V4.removeprefix("07 00 0010"), "16 octets, 40 expected"),
        ("01 000000 0a 00 0003 616263", "a selector of 3 octets does not fit"),
        ("01 000000 0a 00 0000", "a selector of 0 octets does not fit"),
    ],
)
def test_malformed(data, message):
    with pytest.raises(MalformedMessage, match=message):
        TrafficSelectorsInitiator.decode_body(bytes.fromhex(data))
