# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A negotiated SA as the kernel's state: what goes into XFRM_MSG_NEWSA and its kin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pyroute2.netlink import nlmsg

from ...security_association import ChildSa, DirectionKeys, Path, SocketAddress
from ...vpn.algorithms import Authentication, Encryption
from ...vpn.model import Protocol
from ...vpn.selectors import Address
from ..limits import UNLIMITED
from . import messages
from .binding import UNBOUND, Attributes, Binding

#: Our reqids are REQID_BASE + the daemon's, so that a later run recognises what this one left.
REQID_BASE = 0x1CE00000
REQID_COUNT = 1 << 20

#: Where other keying daemons take theirs from; the rest stays free for static configurations.
SPI_MIN = 0xC0000000
SPI_MAX = 0xCFFFFFFF

#: Packets by which an arrival may lag behind the newest (RFC 4303 §3.4.3 asks for 64; queues reorder more).
REPLAY_WINDOW = 128
_IKE_PORT = 500

#: Seconds after which a peer that is not followed to where its packets come from is told of again.
MAPPING_PAUSE = 1


@dataclass(frozen=True, slots=True)
class Limits:
    """Soft and hard limits of one direction, in octets and in packets."""

    octets: tuple[int, int]
    packets: tuple[int, int]

    def less(self, leapt: int) -> Limits:
        """For a state that skips sequence numbers, so that it ends with its last number all the same."""
        soft, hard = self.packets
        return self if hard == UNLIMITED else Limits(self.octets, (max(1, soft - leapt), max(1, hard - leapt)))


def kernel_reqid(reqid: int) -> int:
    return REQID_BASE + reqid


def daemon_reqid(reqid: int) -> int | None:
    """The daemon's reqid, or None where the kernel's is none of ours."""
    return reqid - REQID_BASE if REQID_BASE <= reqid < REQID_BASE + REQID_COUNT else None


def state_id(local: Address, spi: int, protocol: Protocol) -> dict[str, Any]:
    """``xfrm_usersa_id``: a state's destination, SPI and protocol."""
    return {"daddr": local.packed, "spi": spi, "family": messages.family(local),
            "proto": messages.IP_PROTOCOL[protocol]}


def path_of_inbound(state: nlmsg) -> Path | None:
    """Between which ends IKE was, where that installed state of ours receives: those have our replay window."""
    replay, encapsulation = state.get_attr("XFRMA_REPLAY_ESN_VAL"), state.get_attr("XFRMA_ENCAP")
    if replay is None or replay["replay_window"] != REPLAY_WINDOW:
        return None
    ports = ((encapsulation["encap_dport"], encapsulation["encap_sport"]) if encapsulation is not None
             else (_IKE_PORT, _IKE_PORT))
    local, remote = (messages.address_of(state[field], state["family"]) for field in ("id_daddr", "saddr"))
    return SocketAddress(local, ports[0]), SocketAddress(remote, ports[1])


def algorithms(encryption: Encryption | None, authentication: Authentication | None,
               keys: DirectionKeys) -> Attributes:
    """The XFRMA_ALG attributes; key and ICV lengths are bits."""
    found: Attributes = []
    if authentication is not None:
        found.append(("XFRMA_ALG_AUTH_TRUNC", {
            "alg_name": authentication.kernel_name.encode(), "alg_key_len": 8 * len(keys.authentication),
            "alg_trunc_len": 8 * authentication.icv_size, "alg_key": keys.authentication}))
    if encryption is not None:
        key = {"alg_name": encryption.kernel_name.encode(), "alg_key_len": 8 * len(keys.encryption),
               "alg_key": keys.encryption}
        found.append(("XFRMA_ALG_AEAD", key | {"alg_icv_len": 8 * encryption.icv_size}) if encryption.aead
                     else ("XFRMA_ALG_CRYPT", key))
    return found


def state(child: ChildSa, inbound: bool, local: SocketAddress, remote: SocketAddress,
          limits: Limits, binding: Binding = UNBOUND) -> tuple[dict[str, Any], Attributes]:
    """Fields and attributes of one direction of a pair, over the outer path between ``local`` and ``remote``.

    Only who sends sees to it that sequence numbers do not run out, so packets are limited outbound.

    The state has no selector of its own: the policies of its reqid check what leaves the tunnel (RFC 4301 §5.2).
    """
    source, destination = (remote, local) if inbound else (local, remote)
    outer = messages.family(local.address)
    packets = (UNLIMITED, UNLIMITED) if inbound else limits.packets
    inner = {messages.family(row.negotiated.local.first) for row in child.routes}
    flags = messages.XFRM_STATE_ESN if child.extended_sequence_numbers else 0
    if len(inner) > 1:
        flags |= messages.XFRM_STATE_AF_UNSPEC
    if child.protocol is Protocol.AH and local.address.version == 4:
        flags |= messages.XFRM_STATE_ALIGN4  # RFC 4302 §3.3.3.2.1; by itself the kernel pads to 8 octets, as in IPv6
    values = {
        "sel_family": max(inner) if len(inner) == 1 and outer not in inner else 0,
        "id_daddr": destination.address.packed,
        "id_spi": child.spi_in if inbound else child.spi_out,
        "id_proto": messages.IP_PROTOCOL[child.protocol],
        "saddr": source.address.packed,
        "lft_soft_byte_limit": limits.octets[0], "lft_hard_byte_limit": limits.octets[1],
        "lft_soft_packet_limit": packets[0], "lft_hard_packet_limit": packets[1],
        "reqid": kernel_reqid(child.reqid), "family": outer, "mode": messages.XFRM_MODE_TUNNEL,
        "flags": flags,
    }
    attributes = algorithms(child.encryption, child.authentication, child.keys_in if inbound else child.keys_out)
    if child.udp_encapsulated:
        attributes.append(("XFRMA_ENCAP", {"encap_type": messages.UDP_ENCAP_ESPINUDP, "encap_sport": source.port,
                                           "encap_dport": destination.port}))
        if inbound:
            attributes.append(("XFRMA_MTIMER_THRESH", {"seconds": MAPPING_PAUSE}))
    if inbound:
        attributes.append(("XFRMA_REPLAY_ESN_VAL", {"bmp_len": REPLAY_WINDOW // 32, "replay_window": REPLAY_WINDOW}))
    elif child.extended_sequence_numbers:
        # Kernels before 6.10 want a window on an ESN state even where nothing is received.
        attributes.append(("XFRMA_REPLAY_ESN_VAL", {"bmp_len": 1, "replay_window": 1}))
    return values, attributes + binding.attributes


def carried_over(installed: nlmsg, leap: int) -> Attributes:
    """The counters and the replay state of an installed state, its outbound sequence number ``leap`` further on.

    Without extended sequence numbers a leap past the last number stays there: the kernel then refuses to send, and
    the session must rekey (RFC 4303 §3.3.3).
    """
    current = {name: installed[f"curlft_{name}"] for name, _format in messages.CURRENT_LIFETIME}
    carried: Attributes = [("XFRMA_LTIME_VAL", current)]
    extended = installed.get_attr("XFRMA_REPLAY_ESN_VAL")
    if extended is not None:
        replay = {name: extended[name] for name, _format in messages.REPLAY_ESN}
        if installed["flags"] & messages.XFRM_STATE_ESN:
            number = (replay["oseq_hi"] << 32 | replay["oseq"]) + leap
            replay |= {"oseq_hi": number >> 32, "oseq": number & 0xFFFFFFFF}
        else:
            replay["oseq"] = min(replay["oseq"] + leap, 0xFFFFFFFF)
        carried.append(("XFRMA_REPLAY_ESN_VAL", replay))
    elif (plain := installed.get_attr("XFRMA_REPLAY_VAL")) is not None:
        carried.append(("XFRMA_REPLAY_VAL", {"oseq": min(plain["oseq"] + leap, 0xFFFFFFFF), "seq": plain["seq"],
                                             "bitmap": plain["bitmap"]}))
    return carried
