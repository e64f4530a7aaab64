# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules between the settings of a tunnel's two ends: Phase 2."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_interface
from itertools import product

from ..model import IkeVersion, Proposal, Protocol
from .book import BOTH_PHASE2, ERROR, OWN, SEED, WARNING, Broken
from .mismatch import Near, lives_differ, nearest, proposal_life, proposal_members, values
from .remedies import Remedy, is_sound, offered, to_proposal, to_tunnel
from .settings import PairSettings, SiteSettings, TunnelPairSettings, TunnelSettings


def _paths(tunnels: TunnelPairSettings, field: str) -> tuple[str, str]:
    return f"tunnels[{tunnels.left.name}].{field}", f"tunnels[{tunnels.right.name}].{field}"


@BOTH_PHASE2.rule("phase2-protocol-differs", ERROR, SEED, member="proposals")
def protocol_differs(pair: PairSettings, tunnels: TunnelPairSettings) -> Iterator[Broken]:
    """Both ends have the same Phase 2 protocol."""
    left, right = _protocols(tunnels.left), _protocols(tunnels.right)
    if not left.keys() & right.keys():
        yield Broken("phase 2 protocol", f"{pair.left.name} has {'/'.join(left)}",
                     f"{pair.right.name} has {'/'.join(right)}",
                     "no common protocol; the peers would answer NO_PROPOSAL_CHOSEN",
                     offered(_with_esp(pair, tunnels)), _path(left), _path(right))


def _with_esp(pair: PairSettings, tunnels: TunnelPairSettings) -> list[Remedy]:
    """The end that has AH made like the other: ESP is the recommendation."""
    near = nearest(tunnels.left.proposals, tunnels.right.proposals, proposal_members, proposal_life)[0]
    at_right, at_left = _made_equal(pair, tunnels, near)
    return [at_right if near.left_offer.protocol is Protocol.ESP else at_left]


def _path(protocols: dict[str, Proposal]) -> str:
    preferred, *_others = protocols.values()
    return f"proposals[{preferred.name}].protocol"


def _protocols(tunnel: TunnelSettings) -> dict[str, Proposal]:
    """The protocols in order of preference, each with the first proposal that has it."""
    return {proposal.protocol.name: proposal for proposal in reversed(tunnel.proposals)}


@BOTH_PHASE2.rule("phase2-no-common-proposal", ERROR, f"{SEED}; RFC 7296 §2.7", member="proposals")
def no_common_proposal(pair: PairSettings, tunnels: TunnelPairSettings) -> Iterator[Broken]:
    """Both ends have a Phase 2 proposal with the same protocol, encryption and authentication."""
    left, right = tunnels.left.proposals, tunnels.right.proposals
    if set(map(proposal_members, left)) & set(map(proposal_members, right)):
        return
    if not _protocols(tunnels.left).keys() & _protocols(tunnels.right).keys():
        return
    options = [(near, _made_equal(pair, tunnels, near))
               for near in nearest(left, right, proposal_members, proposal_life)]
    near, remedies = next((option for option in options if is_sound(option[1])), options[0])
    yield Broken(f"phase 2 {near.labels}", f"{pair.left.name} offers {values(near.left)}",
                 f"{pair.right.name} offers {values(near.right)}",
                 "no common proposal; the peers would answer NO_PROPOSAL_CHOSEN", offered(remedies),
                 *near.paths("proposals"))


def _made_equal(pair: PairSettings, tunnels: TunnelPairSettings, near: Near[Proposal]) -> list[Remedy]:
    left, right = tunnels.left, tunnels.right
    to_left, as_left = near.as_left()
    to_right, as_right = near.as_right()
    return [to_proposal(f"{to_left} in {pair.right.name}'s proposal {near.right_offer.name}", pair.right,
                        pair.right_gateway, right, near.right_offer, as_left),
            to_proposal(f"{to_right} in {pair.left.name}'s proposal {near.left_offer.name}", pair.left,
                        pair.left_gateway, left, near.left_offer, as_right)]


@BOTH_PHASE2.rule("phase2-key-expiration-differs", ERROR, f"{SEED}; RFC 7296 §2.8", member="proposals")
def key_expiration_differs(pair: PairSettings, tunnels: TunnelPairSettings) -> Iterator[Broken]:
    """Both ends force key expiration alike in the Phase 2 proposal that they share."""
    yield from lives_differ(pair, "phase 2", "proposal", tunnels.left.proposals, tunnels.right.proposals,
                            proposal_members, proposal_life)


def _when(pair: PairSettings) -> str:
    """IKEv2's first child has no key exchange of its own, so a difference shows late."""
    if pair.left_gateway.version is IkeVersion.V1:
        return "Quick Mode would fail at once"
    return "the tunnel would come up and fail at its first rekey"


@BOTH_PHASE2.rule("pfs-differs", ERROR, f"{SEED}; RFC 7296 §1.2", member="pfs.enabled")
def pfs_differs(pair: PairSettings, tunnels: TunnelPairSettings) -> Iterator[Broken]:
    """Perfect Forward Secrecy is on at both ends or at none."""
    left, right = tunnels.left.pfs, tunnels.right.pfs
    if (left is None) is not (right is None):
        yield Broken("PFS", f"{pair.left.name} has it {'on' if left else 'off'}",
                     f"{pair.right.name} has it {'on' if right else 'off'}", _when(pair),
                     offered(_with_pfs(pair, tunnels)), *_paths(tunnels, "pfs.enabled"))


def _with_pfs(pair: PairSettings, tunnels: TunnelPairSettings) -> list[Remedy]:
    """The end that has none made like the other."""
    side, gateway, tunnel, other = pair.right, pair.right_gateway, tunnels.right, tunnels.left
    if tunnels.left.pfs is None:
        side, gateway, tunnel, other = pair.left, pair.left_gateway, tunnels.left, tunnels.right
    group, additional = other.pfs, other.additional_key_exchange
    values = [f"enabled: true, key_group: {group.number if group else ''}"]
    if additional is not None:
        values.append(f"additional_key_exchange: {additional.name}")
    return [to_tunnel(f"tunnels[{tunnel.name}].pfs of {side.name} to {{{', '.join(values)}}}", side, gateway, tunnel,
                      pfs=group, additional_key_exchange=additional)]


@BOTH_PHASE2.rule("pfs-group-differs", ERROR, f"{SEED}; RFC 7296 §1.2", member="pfs.key_group")
def pfs_group_differs(pair: PairSettings, tunnels: TunnelPairSettings) -> Iterator[Broken]:
    """Both ends have the same key group for Perfect Forward Secrecy."""
    left, right = tunnels.left.pfs, tunnels.right.pfs
    if left is not None and right is not None and left != right:
        yield Broken("PFS key group", f"{pair.left.name} has group {left.number}",
                     f"{pair.right.name} has group {right.number}", _when(pair),
                     offered([to_tunnel(f"tunnels[{tunnel.name}].pfs.key_group of {side.name} to {group.number}", side,
                                        gateway, tunnel, pfs=group)
                              for side, gateway, tunnel, group in (
                                  (pair.right, pair.right_gateway, tunnels.right, left),
                                  (pair.left, pair.left_gateway, tunnels.left, right))]),
                     *_paths(tunnels, "pfs.key_group"))


@BOTH_PHASE2.rule("pfs-additional-key-exchange-differs", ERROR, "RFC 9370", member="pfs.additional_key_exchange")
def pfs_additional_key_exchange_differs(pair: PairSettings, tunnels: TunnelPairSettings) -> Iterator[Broken]:
    """Both ends have the same additional key exchange for Perfect Forward Secrecy."""
    left, right = tunnels.left.additional_key_exchange, tunnels.right.additional_key_exchange
    if left == right or tunnels.left.pfs is None or tunnels.right.pfs is None:
        return
    here, there = (row.name if row else "none" for row in (left, right))
    at_left, at_right = _paths(tunnels, "pfs.additional_key_exchange")
    yield Broken("PFS additional key exchange", f"{pair.left.name} has {here}", f"{pair.right.name} has {there}",
                 _when(pair), offered([
                     to_tunnel(f"{path} of {side.name} to {name}", side, gateway, tunnel, additional_key_exchange=value)
                     for path, side, gateway, tunnel, name, value in (
                         (at_right, pair.right, pair.right_gateway, tunnels.right, here, left),
                         (at_left, pair.left, pair.left_gateway, tunnels.left, there, right))]), at_left, at_right)


@BOTH_PHASE2.rule("tunnel-kind-differs", ERROR, f"{SEED}; RFC 7296 §2.9", member="interface")
def tunnel_kind_differs(pair: PairSettings, tunnels: TunnelPairSettings) -> Iterator[Broken]:
    """A tunnel is policy-based at both ends or route-based at both."""
    left, right = tunnels.left.interface, tunnels.right.interface
    if (left is None) is not (right is None):
        (side, tunnel), (peer, peers) = ((pair.left, tunnels.left), (pair.right, tunnels.right))
        if left is None:
            (side, tunnel), (peer, peers) = (peer, peers), (side, tunnel)
        yield Broken("kind", _kind(pair.left, tunnels.left), _kind(pair.right, tunnels.right),
                     f"their SAs are for different traffic; {side.name} would answer TS_UNACCEPTABLE",
                     f"Give {peer.name}'s tunnel {peers.name} an interface, or remove tunnels[{tunnel.name}].interface "
                     f"from {side.name}",
                     *(f"tunnels[{end.name}].{'interface' if end.interface else 'routes'}"
                       for end in (tunnels.left, tunnels.right)))


def _kind(side: SiteSettings, tunnel: TunnelSettings) -> str:
    if tunnel.interface is None:
        return f"{side.name}'s is policy-based"
    return f"{side.name}'s is route-based by interface {tunnel.interface.name}"


@BOTH_PHASE2.rule("interface-addresses-differ", WARNING, OWN, member="interface.addresses")
def interface_addresses_differ(pair: PairSettings, tunnels: TunnelPairSettings) -> Iterator[Broken]:
    """The interfaces of a tunnel's two ends have different addresses of one network."""
    left, right = tunnels.left.interface, tunnels.right.interface
    if left is None or right is None or not left.addresses or not right.addresses:
        return
    if any(one.network == other.network and one.ip != other.ip
           for one, other in product(map(ip_interface, left.addresses), map(ip_interface, right.addresses))):
        return
    yield Broken("interface addresses", f"{pair.left.name} has {', '.join(left.addresses)}",
                 f"{pair.right.name} has {', '.join(right.addresses)}",
                 "no two of them are different addresses of one network, so neither end reaches the other's",
                 f"Set tunnels[{tunnels.left.name}].interface.addresses of {pair.left.name} and "
                 f"tunnels[{tunnels.right.name}].interface.addresses of {pair.right.name} to two of one network",
                 *_paths(tunnels, "interface.addresses"))
