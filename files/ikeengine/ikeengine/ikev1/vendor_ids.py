# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each end can do beyond the RFCs of 1998, shown by vendor ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..vpn.model import Gateway
from ..wire.payloads import all_of
from ..wire.v1.constants import EncapsulationMode
from ..wire.v1.message import Payload
from ..wire.v1.opaque import NatDiscovery, NatDiscoveryDraft, VendorId

DEAD_PEER_DETECTION = bytes.fromhex("afcad71368a1f1c96b8696fc77570100")
"""RFC 3706 §5.1; the last two octets are its version."""
FRAGMENTATION = bytes.fromhex("4048b7d56ebce88525e7de7f00d6c2d3")
"""The MD5 of that word. Four octets may follow it, of which peers make this and that."""
_FRAGMENTATION_OF_MAIN_MODE = bytes.fromhex("80000000")
OURS = bytes.fromhex("4496aa09dede4106f036a68a221be215")
"""Our own, from the SHA-256 of "tandem.vpn ikeengine": who sends it takes any number of Quick Modes at once."""
KEEP_ALIVE = bytes.fromhex("8268bae1bedbcbb301bdcefa92c2df0d")
"""Our own, from the SHA-256 of "tandem.vpn IKE keep-alive": who sends it answers the KEEP_ALIVE notification."""


@dataclass(frozen=True, slots=True)
class NatTraversal:
    """One edition of it: its vendor id, its NAT-D payload and its encapsulation mode."""

    vendor_id: bytes
    payload: type[NatDiscovery]
    mode: EncapsulationMode


_DRAFT = NatDiscoveryDraft, EncapsulationMode.UDP_TUNNEL_DRAFT
NAT_TRAVERSALS: tuple[NatTraversal, ...] = (
    NatTraversal(bytes.fromhex("4a131c81070358455c5728f20e95452f"), NatDiscovery, EncapsulationMode.UDP_TUNNEL),
    NatTraversal(bytes.fromhex("7d9419a65310ca6f2c179d9215529d56"), *_DRAFT),  # draft-ietf-ipsec-nat-t-ike-03
    NatTraversal(bytes.fromhex("90cb80913ebb696e086381b5ec427b1f"), *_DRAFT),  # -02 with a newline in what is hashed
    NatTraversal(bytes.fromhex("cd60464335df21f87cfdb2fc68b6a448"), *_DRAFT),  # -02
)
"""RFC 3947 §3.1 and the drafts that peers still send, the best first."""


@dataclass(frozen=True, slots=True)
class Abilities:
    """What the peer can do, and the edition of NAT traversal that both ends can."""

    nat_traversal: NatTraversal | None = None
    dead_peer_detection: bool = False
    fragmentation: bool = False
    keep_alive: bool = False
    ours: bool = False


def read(payloads: Sequence[Payload], *, nat_traversal: bool) -> Abilities:
    """``nat_traversal`` is whether we are set up for it."""
    shown = {row.data for row in all_of(payloads, VendorId)}
    common = next((row for row in NAT_TRAVERSALS if row.vendor_id in shown), None) if nat_traversal else None
    return Abilities(common, any(row[:-2] == DEAD_PEER_DETECTION[:-2] for row in shown),
                     any(row.startswith(FRAGMENTATION) for row in shown), KEEP_ALIVE in shown, OURS in shown)


def offer(gateway: Gateway) -> list[Payload]:
    """An initiator's: all that the gateway is set up for."""
    editions = NAT_TRAVERSALS if gateway.nat_traversal else ()
    return [*(VendorId(row.vendor_id) for row in editions), *_others(keep_alive=gateway.keep_alive is not None)]


def answer(gateway: Gateway, peer: Abilities) -> list[Payload]:
    """A responder's: of NAT traversal the one edition that it chose."""
    chosen = [VendorId(peer.nat_traversal.vendor_id)] if peer.nat_traversal is not None else []
    return [*chosen, *_others(keep_alive=gateway.keep_alive is not None)]


def _others(*, keep_alive: bool) -> list[Payload]:
    return [VendorId(OURS), VendorId(DEAD_PEER_DETECTION), VendorId(FRAGMENTATION + _FRAGMENTATION_OF_MAIN_MODE),
            *([VendorId(KEEP_ALIVE)] if keep_alive else [])]
