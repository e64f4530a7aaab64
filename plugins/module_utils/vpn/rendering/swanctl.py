# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A site as strongSwan has it: ``swanctl.conf`` and, apart, its secrets (strongSwan documentation, swanctl.conf).

Each tunnel route is a child of its own, as ikeengine has it, unless the tunnel shares its SA pairs. The children's
``reqid`` are fixed, because strongSwan may otherwise choose one for two children that it makes anew at once; but not
those of several routes, which a peer may narrow to several SAs. Each endpoint pair is a connection with its own
identities: strongSwan reaches only for a connection's first address, so the first pair's initiates, the others answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import count
from typing import TypeAlias

from .. import identities
from ..model import (
    CredentialMethod,
    DeadPeerDetection,
    Direction,
    Endpoint,
    EndpointPair,
    Gateway,
    IdentityKind,
    IkeVersion,
    Mode,
    Proposal,
    Route,
    Side,
    Start,
    Transform,
    Tunnel,
)
from ..selectors import Selector
from ..sharing import shared
from . import Rendering

CONFIGURATION, SECRETS = "swanctl.conf", "conf.d/secrets.conf"

ENCRYPTION = {
    "DES": "des", "3DES": "3des", "AES-128": "aes128", "AES-192": "aes192", "AES-256": "aes256",
    "AES-GCM-128": "aes128gcm16", "AES-GCM-192": "aes192gcm16", "AES-GCM-256": "aes256gcm16",
    "ChaCha20-Poly1305": "chacha20poly1305",
}
AUTHENTICATION = {"MD5": "md5", "SHA1": "sha1", "SHA2-256": "sha256", "SHA2-384": "sha384", "SHA2-512": "sha512"}
KEY_ENCAPSULATION = {"ML-KEM-768": "ke1_mlkem768", "ML-KEM-1024": "ke1_mlkem1024"}
"""strongSwan's words for the one table's; it calls key groups as the table does."""

START = {Start.BOOT: "start", Start.TRAFFIC: "trap", Start.ANSWER: "none"}
DEAD = {Start.BOOT: "restart", Start.TRAFFIC: "trap", Start.ANSWER: "clear"}
IDENTITY = {IdentityKind.IP_ADDRESS: "", IdentityKind.DOMAIN_NAME: "fqdn:", IdentityKind.DOMAIN_INFORMATION: "email:",
            IdentityKind.X500_NAME: ""}

_EVERYTHING = "0.0.0.0/0, ::/0"
_KEYWORDS = {"include"}
"""What strongSwan's configuration files take for something else than a section's name."""
_REKEY_PERCENT = 90
"""Of a life: strongSwan names the moment of the rekey, and the hard end apart."""

_Line: TypeAlias = "str | tuple[str, list[_Line]]"
"""``key = value``, or a section's name and what is in it."""


def render(side: Side) -> Rendering:
    """A connection for each endpoint pair, a child for each tunnel route; certificates and keys in their own files."""
    names = _Names()
    reqids = count(1)
    connections: list[_Line] = []
    secrets: list[_Line] = []
    files: dict[str, str] = {}
    keys: dict[str, str] = {}
    for gateway in side.gateways:
        name = names.of(gateway.name)
        children = [(child, next(reqids)) for tunnel in side.tunnels_of(gateway.name) for child in _children(tunnel)]
        for index, pair in enumerate(gateway.endpoints):
            connections.append((names.of(gateway.name) if index else name,
                                list(_connection(gateway, pair, name, children, initiates=_reachable(pair, index)))))
        if gateway.method is CredentialMethod.CERTIFICATE:
            files |= _certificates(gateway, name)
            if gateway.credential.secret is not None:
                keys[f"private/{name}.pem"] = gateway.credential.secret.octets.decode()
        elif gateway.credential.secret is not None:
            secrets.append((f"ike-{name}", [
                *(f"id-{number} = {_identity(end)}" for number, end in enumerate(_ends(gateway))),
                f"secret = 0x{gateway.credential.secret.octets.hex()}"]))
        ppk = gateway.credential.ppk
        if ppk is not None and ppk.secret is not None:
            secrets.append((f"ppk-{name}", [f"id = {_quoted(ppk.id)}", f"secret = 0x{ppk.secret.octets.hex()}"]))
    files[CONFIGURATION] = "\n".join((
        f"# {side.name}", *(f"# {note}" for note in _notes(side)), "include conf.d/*.conf",
        *_written([("connections", connections)]), ""))
    if secrets:
        keys[SECRETS] = "\n".join((*_written([("secrets", secrets)]), ""))
    return Rendering(files, keys)


class _Names:
    """Names of sections: a dot would mean a section within a section."""

    def __init__(self) -> None:
        self._taken = set(_KEYWORDS)

    def of(self, name: str) -> str:
        free = name = re.sub(r"\W", "-", name, flags=re.ASCII)
        number = 2
        while free in self._taken:
            free, number = f"{name}-{number}", number + 1
        self._taken.add(free)
        return free


_Child: TypeAlias = tuple[Tunnel, str, tuple[Route, ...]]
"""What a child of a connection is made of: no route is everything."""


def _reachable(pair: EndpointPair, index: int) -> bool:
    """Whether strongSwan can initiate there: to a known address, and to one only of a gateway's."""
    return index == 0 and pair.remote.address is not None


def _connection(gateway: Gateway, pair: EndpointPair, files: str, children: Iterable[tuple[_Child, int]], *,
                initiates: bool) -> Iterator[_Line]:
    """``files`` is what the gateway's files are called by, ``children`` have their reqids."""
    start = gateway.start if initiates else Start.ANSWER
    yield f"version = {gateway.version.value}"
    if gateway.mode is Mode.AGGRESSIVE:
        yield "aggressive = yes"
    yield f"local_addrs = {pair.local.address or '%any'}"
    yield f"remote_addrs = {pair.remote.address or '%any'}"
    yield f"proposals = {', '.join(map(ike_proposal, gateway.transforms))}"
    life = gateway.transforms[0].sa_life
    yield f"rekey_time = {_share(life)}s"
    yield f"over_time = {life - _share(life)}s"
    detection = gateway.dead_peer_detection
    yield f"dpd_delay = {detection.idle if detection else 0}s"
    if detection and gateway.version is IkeVersion.V1:
        yield f"dpd_timeout = {detection.idle * (detection.retries + 1)}s"
    if start is Start.BOOT:
        yield "keyingtries = 0"  # a peer that comes up later is met all the same
    if gateway.credential.ppk is not None:
        yield f"ppk_id = {_quoted(gateway.credential.ppk.id)}"
        yield f"ppk_required = {'yes' if gateway.credential.ppk.required else 'no'}"
    certified = gateway.method is CredentialMethod.CERTIFICATE
    auth = "auth = pubkey" if certified else "auth = psk"
    certificates = [f"certs = {files}.pem"] if gateway.credential.certificate else []
    authorities = [f"cacerts = {', '.join(_authorities(gateway, files))}"] if gateway.credential.ca else []
    yield "local", [auth, f"id = {_identity(pair.local)}", *certificates]
    yield "remote", [auth, f"id = {_identity(pair.remote)}", *authorities]
    names = _Names()
    yield "children", [(names.of(name), list(_child(tunnel, routes, reqid, start)))
                       for (tunnel, name, routes), reqid in children]


def _children(tunnel: Tunnel) -> Iterator[_Child]:
    if tunnel.interface is not None:
        yield tunnel, tunnel.name, ()
        return
    groups = shared(tunnel)
    if len(groups) == 1:
        yield tunnel, tunnel.name, groups[0]
    else:
        yield from ((tunnel, f"{tunnel.name}-{number}", routes) for number, routes in enumerate(groups, 1))


def _child(tunnel: Tunnel, routes: tuple[Route, ...], reqid: int, start: Start) -> Iterator[_Line]:
    yield f"local_ts = {_selectors(route.local for route in routes)}"
    yield f"remote_ts = {_selectors(route.remote for route in routes)}"
    if not routes:
        yield f"if_id_in = {reqid}"
        yield f"if_id_out = {reqid}"
    if len(routes) < 2:
        yield f"reqid = {reqid}"
    protocol = tunnel.proposals[0].protocol.name.lower()
    yield f"{protocol}_proposals = {', '.join(child_proposal(proposal, tunnel) for proposal in tunnel.proposals)}"
    expiration = tunnel.proposals[0].expiration
    for unit, amount in (("time", expiration.seconds), ("bytes", expiration.kilobytes and expiration.kilobytes * 1024)):
        suffix = "s" if unit == "time" and amount else ""
        yield f"rekey_{unit} = {_share(amount or 0)}{suffix}"
        yield f"life_{unit} = {amount or 0}{suffix}"
    yield f"start_action = {START[start]}"
    yield f"dpd_action = {DEAD[start]}"


def _selectors(selectors: Iterable[Selector]) -> str:
    return ", ".join(dict.fromkeys(map(str, selectors))) or _EVERYTHING


def _share(amount: int) -> int:
    return amount * _REKEY_PERCENT // 100


def ike_proposal(transform: Transform) -> str:
    """Beside an AEAD the authentication is the PRF (RFC 5282 §8)."""
    authentication = AUTHENTICATION[transform.authentication.name]
    words = [ENCRYPTION[transform.encryption.name],
             f"prf{authentication}" if transform.encryption.aead else authentication, transform.key_group.name]
    if transform.additional_key_exchange is not None:
        words.append(KEY_ENCAPSULATION[transform.additional_key_exchange.name])
    return "-".join(words)


def child_proposal(proposal: Proposal, tunnel: Tunnel) -> str:
    """ESP or AH, with the tunnel's PFS."""
    words = [] if proposal.encryption is None else [ENCRYPTION[proposal.encryption.name]]
    words += [] if proposal.authentication is None else [AUTHENTICATION[proposal.authentication.name]]
    words += [] if tunnel.pfs is None else [tunnel.pfs.name]
    words += [] if tunnel.additional_key_exchange is None else [KEY_ENCAPSULATION[tunnel.additional_key_exchange.name]]
    return "-".join(words)


def _ends(gateway: Gateway) -> list[Endpoint]:
    """Both ends of all endpoint pairs, each identity once."""
    ends = (end for pair in gateway.endpoints for end in (pair.local, pair.remote))
    return list({end.identity: end for end in ends}.values())


def _identity(end: Endpoint) -> str:
    value = end.identity.value
    if end.identity.kind is IdentityKind.X500_NAME and "\\" in value:
        value = _with_slashes(value)
    return _quoted(IDENTITY[end.identity.kind] + value)


def _with_slashes(name: str) -> str:
    """A distinguished name of RFC 4514 in strongSwan's other form, which needs no escapes: ``/CN=hq/O=Ex, Inc.``"""
    return "".join("/" + "+".join(f"{attribute.type}={attribute.value}" for attribute in names)
                   for names in identities.relative_names(name))


def _quoted(text: str) -> str:
    if re.fullmatch(r"[\w.:@/+-]+", text, re.ASCII):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _authorities(gateway: Gateway, name: str) -> list[str]:
    return [f"{name}-{number}.pem" for number, _ca in enumerate(gateway.credential.ca, 1)]


def _certificates(gateway: Gateway, name: str) -> dict[str, str]:
    credential = gateway.credential
    files = {} if credential.certificate is None else {f"x509/{name}.pem": credential.certificate}
    files |= {f"x509ca/{file}": ca for file, ca in zip(_authorities(gateway, name), credential.ca, strict=True)}
    files |= {f"x509/{name}-chain-{number}.pem": text for number, text in enumerate(credential.chain, 1)}
    return files | {f"x509crl/{name}-{number}.pem": text for number, text in enumerate(credential.crl, 1)}


def _notes(side: Side) -> Iterator[str]:
    """What the site asks for and swanctl.conf has no setting for."""
    for gateway in side.gateways:
        where = f"no such setting here: gateway {gateway.name}"
        if gateway.nat_keep_alive != 20:
            yield f"{where}: NAT keep-alive {gateway.nat_keep_alive}s is charon.keep_alive"
        if not gateway.nat_traversal:
            yield f"{where}: NAT traversal off"
        if gateway.keep_alive is not None:
            yield f"{where}: IKE keep-alive"
        if gateway.mode is Mode.MAIN_FALLBACK_AGGRESSIVE:
            yield f"{where}: the fallback to Aggressive Mode; this is Main Mode"
        if gateway.mode is Mode.AGGRESSIVE and gateway.method is not CredentialMethod.CERTIFICATE:
            yield (f"{where}: to answer in Aggressive Mode with a pre-shared key, set "
                   "charon.i_dont_care_about_security_and_use_aggressive_mode_psk")
        detection = gateway.dead_peer_detection
        if detection and gateway.version is IkeVersion.V2 and detection.retries != DeadPeerDetection().retries:
            yield f"{where}: Dead Peer Detection's {detection.retries} retries are charon.retransmit_tries"
        if len(gateway.endpoints) > 1:
            yield f"{where}: the failover to further endpoint pairs; their connections answer"
        if len({transform.sa_life for transform in gateway.transforms}) > 1:
            yield f"{where}: an SA life for each transform; all have that of {gateway.transforms[0].name}"
    for tunnel in side.tunnels:
        if len({proposal.expiration for proposal in tunnel.proposals}) > 1:
            yield (f"no such setting here: tunnel {tunnel.name}: a key expiration for each proposal; all have that of "
                   f"{tunnel.proposals[0].name}")
        for route in tunnel.routes:
            if route.direction is not Direction.BOTH:
                yield f"no such setting here: tunnel {tunnel.name}: the direction of {route}"
        if tunnel.interface is not None:
            yield f"tunnel {tunnel.name}: make an xfrm interface with the if_id of the child, and route into it"


def _written(lines: Iterable[_Line], indent: str = "") -> Iterator[str]:
    for line in lines:
        if isinstance(line, str):
            yield indent + line
        else:
            name, inside = line
            yield f"{indent}{name} {{"
            yield from _written(inside, indent + "  ")
            yield f"{indent}}}"
