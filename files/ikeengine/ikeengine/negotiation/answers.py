# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an initiator can say of a bare refusal: what it sent, and where to look. The peer alone knows what differs."""

from __future__ import annotations

from collections.abc import Sequence

from ..vpn.algorithms import KeyEncapsulation
from ..vpn.model import CredentialMethod, EndpointPair, Gateway, IkeVersion, Mode, Route, Transform, Tunnel
from ..vpn.selectors import Address
from .identities import endpoints, words
from .reasons import Reason, listed

_WHO_KNOWS = "its log names what differs, and so does ikectl explain where it is ikeengine"


def no_transform(gateway: Gateway, peer: object, answer: str, *, begins: bool = True) -> Reason:
    """It takes none of our Phase 1 transforms. ``answer`` is the wire's word, which is the same for whom the peer does
    not expect, where the IKE SA ``begins`` and is not rekeyed."""
    path = paths = f"gateways[{gateway.name}].transforms"
    rule = "it has no transform like these"
    if begins:
        paths = f"{path} and gateways[{gateway.name}].endpoints"
        rule += ", or its gateway for us is taken down or not declared between these addresses"
    return Reason(rule, f"Hold {paths} against the peer's: {_WHO_KNOWS}",
                  "phase 1 transform", f"the peer {peer} answered {answer}",
                  f"we offered {' or '.join(map(suite, gateway.transforms))}", path)


def no_group(gateway: Gateway, peer: object, wanted: int) -> Reason:
    """It wants a key group that we did not offer."""
    ours = dict.fromkeys(f"group {row.key_group.number}" for row in gateway.transforms)
    return Reason("no common key group", f"Have the peer take {next(iter(ours))}, or set transforms"
                  f"[{gateway.transforms[0].name}].key_group to {wanted}", "phase 1 key group",
                  f"the peer {peer} wants group {wanted}", f"we have {' or '.join(ours)}",
                  f"transforms[{gateway.transforms[0].name}].key_group")


def not_authentic(gateway: Gateway, pair: EndpointPair, peer: object, answer: str) -> Reason:
    """It does not believe that we are who we say, or that it is who we expect."""
    what = "certificate" if gateway.method is CredentialMethod.CERTIFICATE else "pre-shared key"
    if gateway.credential.ppk is not None:
        what += ", post-quantum pre-shared key"
    path = f"gateways[{gateway.name}]"
    return Reason(f"it expects another {what}, or other identifiers",
                  f"Hold {path}.credential and the identifiers of {endpoints(gateway, pair)} against the peer's: "
                  f"{_WHO_KNOWS}",
                  "credential or phase 1 identifier", f"the peer {peer} answered {answer}",
                  f"we present {words(pair.local.identity)} and expect {words(pair.remote.identity)}",
                  f"{path}.credential")


def no_proposal(tunnel: Tunnel, peer: object, answer: str, *, with_pfs: bool) -> Reason:
    """It takes none of our Phase 2 proposals; ``with_pfs`` says that the exchange negotiates PFS as well."""
    path = f"tunnels[{tunnel.name}].proposals"
    paths = f"{path} and tunnels[{tunnel.name}].pfs" if with_pfs else path
    field, rule = "phase 2 proposal", "it has no proposal like these"
    if with_pfs:
        field, rule = f"{field} or PFS", f"{rule} with that PFS"
    return Reason(rule, f"Hold {paths} against the peer's: {_WHO_KNOWS}", field, f"the peer {peer} answered {answer}",
                  f"we offered {offers(tunnel, with_pfs=with_pfs)}", path)


def no_secrecy_group(tunnel: Tunnel, peer: object, answer: str) -> Reason:
    """It wants another key group for PFS."""
    path = f"tunnels[{tunnel.name}].pfs.key_group"
    return Reason("both ends need the same", f"Hold {path} against the peer's: {_WHO_KNOWS}", "PFS key group",
                  f"the peer {peer} answered {answer}",
                  f"we have group {tunnel.pfs.number}" if tunnel.pfs else "we have none", path)


def no_mirror(tunnel: Tunnel, routes: Sequence[Route], peer: object, answer: str) -> Reason:
    """It has no tunnel route that mirrors one of ours."""
    return Reason("it has no mirror of that", f"Add {listed(row.mirrored.as_yaml for row in routes)} to the routes at "
                  f"the peer, or remove {listed(row.as_yaml for row in routes)} from tunnels[{tunnel.name}].routes",
                  "tunnel route", f"the peer {peer} answered {answer}", f"we proposed {', '.join(map(str, routes))}",
                  f"tunnels[{tunnel.name}].routes")


def refused(peer: object, answer: str) -> Reason:
    """Any other answer, and nothing that we could say of it."""
    return Reason("its log says why", theirs=f"the peer {peer} answered {answer}")


def ah_through_nat(tunnel: Tunnel, local: Address, remote: Address) -> Reason:
    return Reason("AH protects the addresses that a NAT changes", "Set protocol to ESP in the proposals of both ends",
                  "phase 2 protocol", f"a NAT lies between {local} and {remote}", "we have AH",
                  f"tunnels[{tunnel.name}].proposals")


def unproven(peer: object) -> Reason:
    """An IKE SA that came up by another credential than is declared now is to be rekeyed."""
    return Reason("an IKE SA lives on only by the credential that is declared",
                  "Have the peer authenticate anew, by the credential that is declared here", "credential",
                  f"the peer {peer} rekeys the IKE SA", "we declare another credential than it came up by")


def chose_another(field: str, peer: object) -> Reason:
    """Its answer is none of what we offered, or more than one."""
    return Reason("an answer is one of what was offered (RFC 7296 §2.7)", "Mend the peer", field,
                  f"the peer {peer} chose what we did not offer")


def without_its_exchange(kem: KeyEncapsulation, peer: object) -> Reason:
    """It has the additional key exchange and does not announce what carries it."""
    return Reason("it travels in IKE_INTERMEDIATE, which the peer does not announce (RFC 9370 §2.2.1)",
                  "Set additional_key_exchange to none at both ends, or mend the peer",
                  "phase 1 additional key exchange", f"the peer {peer} has {kem.name}", f"we have {kem.name}")


def undeclared(local: Address, remote: Address) -> Reason:
    """Nobody of these addresses is known here."""
    return Reason("no gateway is declared, or up to answer, between these addresses",
                  f"Declare one with endpoints {{local: {{address: {local}}}, remote: {{address: {remote}}}}}, or "
                  "bring up the one that was taken down", "endpoint address", f"the peer {remote} asks for {local}",
                  "we expect nobody there")


def another_version(gateway: Gateway, peer: object, version: IkeVersion) -> Reason:
    """The peer begins in ``version``, and all that may be it are declared with the other."""
    path = f"gateways[{gateway.name}].ike_version"
    return Reason("a peer does not answer the other version",
                  f"Set {path} to {version.value}, or have the peer use IKEv{gateway.version.value}", "IKE version",
                  f"the peer {peer} begins IKEv{version.value}", f"we have IKEv{gateway.version.value}", path)


def another_mode(gateway: Gateway, peer: object, begun: Mode) -> Reason:
    """IKEv1: the peer begins in a mode that the gateway is not set up for."""
    path, ours = f"gateways[{gateway.name}].mode", (gateway.mode or Mode.MAIN).value
    return Reason("a responder refuses a mode that it is not set up for",
                  f"Set {path} to {begun.value}, or have the peer use {ours}", "mode",
                  f"the peer {peer} begins {begun.value}", f"we have {ours}", path)


def main_mode_without_address(gateway: Gateway, peer: object) -> Reason:
    """IKEv1: the pre-shared key of Main Mode is chosen by the peer's address, which is not declared."""
    path = f"gateways[{gateway.name}].mode"
    return Reason("its pre-shared key is chosen by the address (RFC 2409 §5.4)",
                  f"Set {path} to aggressive at both ends", "mode", f"the peer {peer} begins main",
                  "we have a dynamic remote address", path)


def refused_mode(gateway: Gateway, peer: object, answer: str, begun: Mode) -> Reason:
    """IKEv1: the peer is not set up for the mode that we began."""
    path = f"gateways[{gateway.name}].mode"
    return Reason("both ends need the same", f"Hold {path} against the peer's", "mode",
                  f"the peer {peer} answered {answer}", f"we begin {begun.value}", path)


def several_groups(gateway: Gateway, peer: object, numbers: Sequence[int]) -> Reason:
    """IKEv1: Aggressive Mode sends its key exchange with the offer."""
    return Reason("aggressive mode cannot negotiate the group (RFC 2409 §5)", "Have the peer use one in all its "
                  "transforms", "phase 1 key group", f"the peer {peer} offers groups "
                  f"{listed([str(row) for row in numbers[:8]])}",
                  f"we have {' or '.join(dict.fromkeys(str(row.key_group.number) for row in gateway.transforms))}",
                  f"gateways[{gateway.name}].transforms")


def quick_mode_silent(tunnel: Tunnel, routes: Sequence[Route], peer: object) -> Reason:
    """IKEv1: many a peer that refuses Phase 2 says nothing."""
    return Reason("peer silent: check Phase 2 and the tunnel routes",
                  f"Hold tunnels[{tunnel.name}] against the peer's: {_WHO_KNOWS}", "Quick Mode",
                  f"the peer {peer} does not answer", f"we offered {offers(tunnel, with_pfs=True)} for "
                  f"{', '.join(map(str, routes))}", f"tunnels[{tunnel.name}]")


def no_udp_here(gateway: Gateway, peer: object) -> Reason:
    """The data plane here can do ESP in UDP only, and the two ends do no NAT traversal, for want of either."""
    path = f"gateways[{gateway.name}].nat_traversal.enabled"
    theirs = f"the peer {peer} has it off" if gateway.nat_traversal else ""
    return Reason("the data plane here does ESP in UDP only", f"Set {path} to true at both ends, or dataplane to "
                  "kernel in its tunnels", "NAT traversal", theirs,
                  f"we have it {'on' if gateway.nat_traversal else 'off'}", path)


def only_the_peer(gateway: Gateway) -> Reason:
    """Nobody knows where it is."""
    return Reason("the remote address is dynamic, so the peer must initiate", where=f"gateway {gateway.name}")


def no_way(gateway: Gateway, remote: Address) -> Reason:
    return Reason(f"no local address leads to {remote}", where=f"gateway {gateway.name}")


def address_not_here(gateway: Gateway, pair: EndpointPair, local: Address) -> Reason:
    """We are to use an address that this host has not, or not yet."""
    path = f"{endpoints(gateway, pair)}.local.address"
    return Reason("this host does not have it", f"Give it to an interface, or set {path} to one that it has",
                  "endpoint address", "", f"we are to use {local}", path, f"gateway {gateway.name}")


def silent(peer: object, message: str) -> Reason:
    """No answer came, however often we asked. ``message`` is what we sent."""
    return Reason(f"no answer to {message}", "Check that it runs and is set up for us, and that UDP ports 500 and 4500 "
                  "pass both ways", theirs=f"the peer {peer} is silent")


def not_sent(remote: Address, message: str, why: str) -> Reason:
    """No answer came because this host could not send: its kernel says ``why``."""
    return Reason(f"{why}, so no answer to {message} can come", "Check this host's links, routes and firewall; ip "
                  f"route get {remote} shows the way", ours=f"we could not send to the peer {remote}")


def suite(transform: Transform) -> str:
    """``AES-256/SHA2-256/group 14``, as an operator writes it."""
    parts = (transform.encryption.name, transform.authentication.name, f"group {transform.key_group.number}",
             transform.additional_key_exchange.name if transform.additional_key_exchange else "")
    return "/".join(part for part in parts if part)


def offers(tunnel: Tunnel, *, with_pfs: bool) -> str:
    """What a tunnel offers in Phase 2, in words."""
    suites = [f"{row.protocol.name} " + "/".join(part.name for part in (row.encryption, row.authentication) if part)
              for row in tunnel.proposals]
    pfs = f", PFS {f'group {tunnel.pfs.number}' if tunnel.pfs else 'off'}" if with_pfs else ""
    if with_pfs and tunnel.additional_key_exchange is not None:
        pfs += f" with {tunnel.additional_key_exchange.name}"
    return " or ".join(suites) + pfs
