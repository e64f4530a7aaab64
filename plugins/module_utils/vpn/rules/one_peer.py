# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules on one gateway's credential and endpoints: what Phase 1 needs to know of both peers."""

from __future__ import annotations

from collections.abc import Iterator

from .. import identities
from ..model import CredentialMethod, EndpointPair, Gateway, IdentityKind, IkeVersion, Mode, Side
from . import nat
from .book import ERROR, GATEWAY, OWN, SEED, TO_IKEV2, WARNING, Broken

SHORTEST_TEXT_KEY = 20
"""Characters below which a text key draws a warning: RFC 7296 §2.15 wants as much entropy as the algorithms' keys."""
SHORTEST_HEX_KEY = 16
"""Octets below which a hex key draws a warning: the key size of the weakest AES."""


def _path(gateway: Gateway, field: str) -> str:
    return f"gateways[{gateway.name}].{field}"


@GATEWAY.rule("psk-missing", ERROR, SEED, member="credential.psk")
def psk_missing(side: Side, gateway: Gateway) -> Iterator[Broken]:
    """A gateway whose method is a pre-shared key has one."""
    credential = gateway.credential
    if credential.secret is None and credential.method is not CredentialMethod.CERTIFICATE:
        path = _path(gateway, "credential.psk")
        yield Broken("credential", f"{side.name} declares no pre-shared key", "",
                     f"the method {credential.method.value} needs one", f"Set {path}", path)


@GATEWAY.rule("psk-short", WARNING, "RFC 7296 §2.15", member="credential.psk")
def psk_short(side: Side, gateway: Gateway) -> Iterator[Broken]:
    """A text key has 20 characters or more, a hex key 16 octets or more."""
    credential = gateway.credential
    if credential.secret is None or credential.method is CredentialMethod.CERTIFICATE:
        return
    text = credential.method is CredentialMethod.PSK
    least, unit = (SHORTEST_TEXT_KEY, "characters") if text else (SHORTEST_HEX_KEY, "octets")
    if len(credential.secret.octets.decode() if text else credential.secret.octets) < least:
        yield Broken("credential", f"{side.name}'s pre-shared key has fewer than {least} {unit}", "",
                     "a short key can be guessed from a recorded exchange",
                     f"Set a random key of {least} {unit} or more", _path(gateway, "credential.psk"))


@GATEWAY.rule("psk-surrounding-space", WARNING, OWN, member="credential.psk")
def psk_surrounding_space(side: Side, gateway: Gateway) -> Iterator[Broken]:
    """A text key neither begins nor ends with white space."""
    credential = gateway.credential
    if credential.secret is None or credential.method is not CredentialMethod.PSK:
        return
    if credential.secret.octets != credential.secret.octets.strip():
        yield Broken("credential", f"{side.name}'s pre-shared key begins or ends with white space", "",
                     "every octet counts, also a line's end that came with a file",
                     "Remove it, or keep it at both ends", _path(gateway, "credential.psk"))


def _proves_itself(side: Side, gateway: Gateway) -> bool:
    """Whether its certificate is ours to configure: of others only what they present matters."""
    return gateway.credential.method is CredentialMethod.CERTIFICATE and side.managed


@GATEWAY.rule("certificate-missing", ERROR, SEED, member="credential.certificate")
def certificate_missing(side: Side, gateway: Gateway) -> Iterator[Broken]:
    """A managed gateway whose method is a certificate has one."""
    if _proves_itself(side, gateway) and gateway.credential.certificate is None:
        path = _path(gateway, "credential.certificate")
        yield Broken("credential", f"{side.name} declares no certificate", "", "the method certificate needs one",
                     f"Set {path} to its PEM text", path)


@GATEWAY.rule("private-key-missing", ERROR, "RFC 7296 §2.15", member="credential.private_key")
def private_key_missing(side: Side, gateway: Gateway) -> Iterator[Broken]:
    """A managed gateway whose method is a certificate has its private key."""
    if _proves_itself(side, gateway) and gateway.credential.secret is None:
        path = _path(gateway, "credential.private_key")
        yield Broken("credential", f"{side.name} declares no private key", "", "the method certificate needs one",
                     f"Set {path} to its PEM text", path)


@GATEWAY.rule("ca-missing", ERROR, "RFC 7296 §3.7", member="credential.ca")
def ca_missing(side: Side, gateway: Gateway) -> Iterator[Broken]:
    """A managed gateway whose method is a certificate knows the authority of its peer's."""
    if _proves_itself(side, gateway) and not gateway.credential.ca:
        path = _path(gateway, "credential.ca")
        yield Broken("credential", f"{side.name} declares no authority", "",
                     "the peer's certificate must come from one",
                     f"Set {path} to the PEM text of the authority that signed the peer's certificate", path)


@GATEWAY.rule("x500-needs-certificate", WARNING, "RFC 4945 §3.1.5", member="endpoints")
def x500_needs_certificate(side: Side, gateway: Gateway) -> Iterator[Broken]:
    """X500 names go with certificates."""
    method = gateway.credential.method
    if method is CredentialMethod.CERTIFICATE:
        return
    for index, pair in enumerate(gateway.endpoints):
        for name, end in (("local", pair.local), ("remote", pair.remote)):
            if end.identity.kind is IdentityKind.X500_NAME:
                path = _path(gateway, f"endpoints[{index}].{name}.identifier")
                yield Broken("phase 1 identifier",
                             f"the {name} one is the X500 name {end.identity.value} with method {method.value}", "",
                             "an X500 name is the subject of a certificate",
                             f"Set {_path(gateway, 'credential.method')} to certificate, or {path} to another type",
                             path)


@GATEWAY.rule("main-mode-needs-static-peer", ERROR, f"{SEED}; RFC 2409 §5.4", member="mode")
def main_mode_needs_static_peer(side: Side, gateway: Gateway) -> Iterator[Broken]:
    """Main Mode needs static addresses at both ends."""
    if gateway.mode is not Mode.MAIN or gateway.version is not IkeVersion.V1:
        return
    for pair in gateway.endpoints:
        if pair.local.address is None or pair.remote.address is None:
            name = "remote" if pair.remote.address is None else "local"
            keyed = gateway.credential.method is not CredentialMethod.CERTIFICATE
            yield Broken("mode", f"it is main with a dynamic {name} address", "",
                         "in Main Mode the pre-shared key is chosen by the addresses" if keyed else
                         "Main Mode needs static addresses at both ends",
                         f"Set {_path(gateway, TO_IKEV2)}, or mode to aggressive at both ends",
                         _path(gateway, "mode"))
            return


@GATEWAY.rule("endpoints-mixed-families", ERROR, OWN, member="endpoints")
def endpoints_mixed_families(side: Side, gateway: Gateway) -> Iterator[Broken]:
    """Both addresses of an endpoint pair are IPv4, or both IPv6."""
    for index, pair in enumerate(gateway.endpoints):
        local, remote = pair.local.address, pair.remote.address
        if local is not None and remote is not None and local.version != remote.version:
            path = _path(gateway, f"endpoints[{index}]")
            yield Broken("endpoints", f"local is {local}", f"remote is {remote}",
                         "they are of different address families and cannot reach each other",
                         f"Set {path} to two of one family", f"{path}.local.address", f"{path}.remote.address")


@GATEWAY.rule("endpoints-same-address", ERROR, OWN, member="endpoints")
def endpoints_same_address(side: Side, gateway: Gateway) -> Iterator[Broken]:
    """The two addresses of an endpoint pair differ."""
    for index, pair in enumerate(gateway.endpoints):
        if pair.local.address is not None and pair.local.address == pair.remote.address:
            path = _path(gateway, f"endpoints[{index}]")
            yield Broken("endpoints", f"local and remote are {pair.local.address}", "", "a gateway is not its own peer",
                         f"Set {path}.remote.address to the peer's", f"{path}.local.address", f"{path}.remote.address")


@GATEWAY.rule("endpoint-pair-twice", ERROR, OWN, member="endpoints")
def endpoint_pair_twice(side: Side, gateway: Gateway) -> Iterator[Broken]:
    """Each endpoint pair of a gateway stands there once."""
    if len(gateway.endpoints) == 1:
        return
    first: dict[object, int] = {}
    for index, pair in enumerate(gateway.endpoints):
        other = first.setdefault(_joined(pair), index)
        if other != index:
            yield Broken("endpoints", f"pair {other} joins {pair.local.address or 'dynamic'} and "
                         f"{pair.remote.address or 'dynamic'}", f"pair {index} joins them again",
                         "it could take over from no other", f"Remove {_path(gateway, f'endpoints[{index}]')}",
                         _path(gateway, f"endpoints[{other}]"), _path(gateway, f"endpoints[{index}]"))


def _joined(pair: EndpointPair) -> object:
    """What makes an endpoint pair: its addresses, and the names of the ends that have none."""
    return tuple(end.address or identities.key(end.identity) for end in (pair.local, pair.remote))


@GATEWAY.rule("nat-traversal-off-behind-nat", ERROR, "RFC 3947; RFC 3948", member="nat_traversal.enabled")
def nat_traversal_off_behind_nat(side: Side, gateway: Gateway) -> Iterator[Broken]:
    """A gateway that is evidently behind a NAT has NAT traversal."""
    if gateway.nat_traversal or gateway.version is not IkeVersion.V1:
        return
    index = nat.pair_behind(gateway)
    if index is not None:
        pair, path = gateway.endpoints[index], _path(gateway, "nat_traversal.enabled")
        yield Broken("NAT traversal", "it is off", f"the endpoints are {pair.local.address} and {pair.remote.address}",
                     "a NAT lies between the two, and ESP does not pass it without",
                     f"Set {path} to true at both ends", path, _path(gateway, f"endpoints[{index}].local.address"))
