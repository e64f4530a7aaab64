# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What really travelled over a link: tcpdump records it, and every packet is counted by what it is."""

import ipaddress
import signal
import struct
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .network import Namespace

START_SECONDS = 10
QUIET_SECONDS = 0.1
# pcap: the microsecond file header, and the record header, in the writing machine's order of octets.
PCAP_MAGIC = 0xA1B2C3D4
PCAP_HEADER = struct.Struct("=IHHiIII")
PCAP_RECORD = struct.Struct("=IIII")
LINKTYPE_ETHERNET = 1
ETHERNET_OCTETS = 14
ETHERTYPE_IPV4 = 0x0800
PROTOCOL_UDP = 17
PROTOCOL_ESP = 50
PROTOCOL_AH = 51


@dataclass(frozen=True, slots=True)
class Counts:
    """Packets by what they are; each packet is in one field, `clear` before all others.

    `clear` counts IPv4 packets from one LAN to another and packets of any kind that hold the marker; `esp` IP
    protocol 50; `ah` 51; `esp_in_udp` and `ike` as RFC 3948 section 2 tells them apart on port 4500.
    """

    clear: int = 0
    esp: int = 0
    ah: int = 0
    esp_in_udp: int = 0
    ike: int = 0
    other: int = 0

    @property
    def protected(self) -> int:
        return self.esp + self.ah + self.esp_in_udp


class Capture:
    """Record one interface of a namespace for as long as the context lasts."""

    def __init__(self, namespace: Namespace, interface: str, path: Path) -> None:
        self.namespace = namespace
        self.interface = interface
        self.path = path

    def __enter__(self) -> "Capture":
        """Start; every packet from now on is recorded. Raises RuntimeError with tcpdump's words if it cannot."""
        argv = ["tcpdump", "-i", self.interface, "-p", "-n", "-U", "--immediate-mode", "-w", "-"]
        with self.path.open("wb") as recorded:
            self._tcpdump = subprocess.Popen(
                [*self.namespace.entry, *argv],
                stdin=subprocess.DEVNULL,
                stdout=recorded,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        # The file's header is written once the interface is being listened to.
        deadline = time.monotonic() + START_SECONDS
        while self.path.stat().st_size < PCAP_HEADER.size:
            if self._tcpdump.poll() is not None or time.monotonic() > deadline:
                self._tcpdump.kill()
                raise RuntimeError(f"tcpdump on {self.interface}: {self._tcpdump.communicate()[1].decode()}")
            time.sleep(0.005)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop; every packet until now is recorded."""
        # A signal stops tcpdump where it reads: what it has not come to by then would be lost.
        size = -1
        while size != (size := self.path.stat().st_size):
            time.sleep(QUIET_SECONDS)
        self._tcpdump.send_signal(signal.SIGINT)
        self._tcpdump.communicate(timeout=START_SECONDS)

    def counts(self, lans: Sequence[str], *, marker: bytes | None = None) -> Counts:
        """Count what was recorded. `lans` are networks whose traffic must not be seen, `marker` octets of its text."""
        return count(frames(self.path.read_bytes()), lans, marker=marker)


def frames(pcap: bytes) -> Iterator[bytes]:
    """The Ethernet frames of a pcap file; one cut short at its end is left out. Raises ValueError."""
    if len(pcap) < PCAP_HEADER.size:
        raise ValueError(f"a pcap file begins with {PCAP_HEADER.size} octets of header; there are {len(pcap)}")
    header = PCAP_HEADER.unpack_from(pcap)
    magic, linktype = header[0], header[-1]
    if magic != PCAP_MAGIC or linktype != LINKTYPE_ETHERNET:
        raise ValueError(f"not an Ethernet pcap file of this machine's: magic {magic:#x}, link type {linktype}")
    offset = PCAP_HEADER.size
    while offset + PCAP_RECORD.size <= len(pcap):
        octets = PCAP_RECORD.unpack_from(pcap, offset)[2]
        offset += PCAP_RECORD.size
        if offset + octets <= len(pcap):
            yield pcap[offset : offset + octets]
        offset += octets


def count(packets: Iterator[bytes], lans: Sequence[str], *, marker: bytes | None = None) -> Counts:
    """Count Ethernet frames by what they carry; `lans` and `marker` as in `Capture.counts`."""
    networks = [ipaddress.IPv4Network(lan) for lan in lans]
    return Counts(**Counter("clear" if marker and marker in frame else _kind(frame, networks) for frame in packets))


def _kind(frame: bytes, lans: list[ipaddress.IPv4Network]) -> str:
    (ethertype,) = struct.unpack_from("!H", frame, ETHERNET_OCTETS - 2)
    packet = frame[ETHERNET_OCTETS:]
    if ethertype != ETHERTYPE_IPV4 or len(packet) < 20:
        return "other"
    source, destination = ipaddress.IPv4Address(packet[12:16]), ipaddress.IPv4Address(packet[16:20])
    if any(source in lan for lan in lans) and any(destination in lan for lan in lans):
        return "clear"
    protocol = packet[9]
    if protocol == PROTOCOL_ESP:
        return "esp"
    if protocol == PROTOCOL_AH:
        return "ah"
    fragment_offset = struct.unpack_from("!H", packet, 6)[0] & 0x1FFF
    if protocol != PROTOCOL_UDP or fragment_offset:
        return "other"
    return _datagram(packet[(packet[0] & 0x0F) * 4 :])


def _datagram(datagram: bytes) -> str:
    """RFC 3948 section 2: on port 4500, four zero octets begin IKE, one octet 0xFF is a keep-alive, all else is ESP."""
    if len(datagram) < 8:
        return "other"
    ports, payload = struct.unpack_from("!HH", datagram), datagram[8:]
    if 500 in ports:
        return "ike"
    if 4500 not in ports or len(payload) < 4:
        return "other"
    return "ike" if payload[:4] == bytes(4) else "esp_in_udp"
