# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every kind of packet is counted as what it is."""

import ipaddress
import struct
from pathlib import Path

import pytest

from tests.testbed.capture import PCAP_HEADER, PCAP_RECORD, Counts, count, frames

LANS = ("10.1.0.0/24", "10.2.0.0/24")
HQ, BRANCH = "192.0.2.2", "198.51.100.2"


def frame(source: str, destination: str, protocol: int, payload: bytes, *, offset: int = 0) -> bytes:
    addresses = ipaddress.IPv4Address(source).packed + ipaddress.IPv4Address(destination).packed
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0, offset, 64, protocol, 0)
    return bytes(12) + b"\x08\x00" + header + addresses + payload


def udp(port: int, payload: bytes) -> bytes:
    return struct.pack("!HHHH", port, port, 8 + len(payload), 0) + payload


SPI = bytes.fromhex("c0ffee01")


@pytest.mark.parametrize(
    ("packet", "kind"),
    [
        (frame("10.1.0.2", "10.2.0.2", 1, b"ping"), "clear"),
        (frame("10.2.0.2", "10.1.0.2", 50, SPI), "clear"),
        (frame(HQ, BRANCH, 50, SPI), "esp"),
        (frame(HQ, BRANCH, 51, SPI), "ah"),
        (frame(HQ, BRANCH, 17, udp(4500, SPI + bytes(20))), "esp_in_udp"),
        (frame(HQ, BRANCH, 17, udp(4500, bytes(4) + SPI)), "ike"),
        (frame(HQ, BRANCH, 17, udp(500, SPI)), "ike"),
        (frame(HQ, BRANCH, 17, udp(4500, b"\xff")), "other"),
        (frame(HQ, BRANCH, 17, udp(53, SPI + bytes(20))), "other"),
        (frame(HQ, BRANCH, 17, udp(4500, SPI), offset=100), "other"),
        (frame(HQ, "10.2.0.2", 1, b"ping"), "other"),
        (bytes(12) + b"\x86\xdd" + bytes(40), "other"),
        (bytes(12) + b"\x08\x00" + bytes(3), "other"),
    ],
)
def test_a_packet_is_counted_as_what_it_is(packet: bytes, kind: str) -> None:
    assert count(iter([packet]), LANS) == Counts(**{kind: 1})


def test_marked_octets_are_clear_text_whatever_carries_them() -> None:
    hidden = frame(HQ, BRANCH, 50, SPI + b"not encrypted at all")
    assert count(iter([hidden]), LANS, marker=b"encrypted at") == Counts(clear=1)


def test_a_capture_cut_short_is_read_up_to_its_last_whole_frame() -> None:
    record = PCAP_RECORD.pack(0, 0, 3, 3) + b"abc"
    header = PCAP_HEADER.pack(0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    assert list(frames(header + record * 2 + record[:-1])) == [b"abc", b"abc"]


@pytest.mark.parametrize("octets", [b"", bytes(24), PCAP_HEADER.pack(0xA1B2C3D4, 2, 4, 0, 0, 65535, 113)])
def test_what_is_no_ethernet_capture_is_refused(octets: bytes, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="pcap file"):
        list(frames(octets))
