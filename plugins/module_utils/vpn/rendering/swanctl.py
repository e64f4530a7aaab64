# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A site as strongSwan has it: ``swanctl.conf`` and, apart, its secrets (strongSwan documentation, swanctl.conf).

Each tunnel route is a child of its own, as ikeengine has it. The children's ``reqid`` are fixed, because strongSwan may
otherwise choose one for two children that it makes anew at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from ..model import (
    CredentialMethod,
    Direction,
    Endpoint,
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
_REKEY_PERCENT = 90
"""Of a life: strongSwan names the moment of the rekey, and the hard end apart."""

_Line: TypeAlias = "str | tuple[str, list[_Line]]"
"""``key = value``, or a section's name and what is in it."""


def render(side: Side) -> Rendering:
    """A connection for each gateway, a child for each tunnel route; certificates and keys in files of their own."""
    names = _Names()
    reqids = iter(range(1, 1 << 31))
    connections: list[_Line] = []
    secrets: list[_Line] = []
    files: dict[str, str] = {}
    keys: dict[str, str] = {}
    for gateway in side.gateways:
        name = names.of(gateway.name)
        connections.append((name, list(_connection(gateway, name, side.tunnels_of(gateway.name), reqids))))
        if gateway.method is CredentialMethod.CERTIFICATE:
            files |= _certificates(gateway, name)
            if gateway.credential.secret is not None:
                keys[f"private/{name}.pem"] = gateway.credential.secret.octets.decode()
        elif gateway.credential.secret is not None:
            secrets.append((f"ike-{name}", [
                *(f"id-{number} = {_identity(end)}" for number, end in enumerate(_ends(gateway))),
                f"secret = 0x{gateway.credential.secret.octets.hex()}"]))
    files[CONFIGURATION] = "\n".join((
        f"# {side.name}", *(f"# {note}" for note in _notes(side)), "include conf.d/*.conf",
        *_written([("connections", connections)]), ""))
    if secrets:
        keys[SECRETS] = "\n".join((*_written([("secrets", secrets)]), ""))
    return Rendering(files, keys)


class _Names:
    """Names of sections: a dot would mean a section within a section."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def of(self, name: str) -> str:
        free = name = re.sub(r"\W", "-", name, flags=re.ASCII)
        number = 2
        while free in self._taken:
            free, number = f"{name}-{number}", number + 1
        self._taken.add(free)
        return free


def _connection(gateway: Gateway, name: str, tunnels: Iterable[Tunnel], reqids: Iterator[int]) -> Iterator[_Line]:
    yield f"version = {gateway.version.value}"
    if gateway.mode is Mode.AGGRESSIVE:
        yield "aggressive = yes"
    for side in ("local", "remote"):
        addresses = (getattr(pair, side).address for pair in gateway.endpoints)
        yield f"{side}_addrs = {', '.join(dict.fromkeys(str(address or '%any') for address in addresses))}"
    yield f"proposals = {', '.join(map(ike_proposal, gateway.transforms))}"
    life = gateway.transforms[0].sa_life
    yield f"rekey_time = {_share(life)}s"
    yield f"over_time = {life - _share(life)}s"
    detection = gateway.dead_peer_detection
    yield f"dpd_delay = {detection.idle if detection else 0}s"
    if detection and gateway.version is IkeVersion.V1:
        yield f"dpd_timeout = {detection.idle * (detection.retries + 1)}s"
    local, remote = gateway.endpoints[0].local, gateway.endpoints[0].remote
    certified = gateway.method is CredentialMethod.CERTIFICATE
    auth = "auth = pubkey" if certified else "auth = psk"
    certificates = [f"certs = {name}.pem"] if gateway.credential.certificate else []
    authorities = [f"cacerts = {', '.join(_authorities(gateway, name))}"] if gateway.credential.ca else []
    yield "local", [auth, f"id = {_identity(local)}", *certificates]
    yield "remote", [auth, f"id = {_identity(remote)}", *authorities]
    children = _Names()
    routes = [(tunnel, child, route) for tunnel in tunnels for child, route in _routes(tunnel)]
    yield "children", [(children.of(child), list(_child(gateway, tunnel, route, reqid)))
                       for (tunnel, child, route), reqid in zip(routes, reqids, strict=False)]


def _routes(tunnel: Tunnel) -> Iterator[tuple[str, Route | None]]:
    """The children of a tunnel and their routes; None is everything."""
    if tunnel.interface is not None:
        yield tunnel.name, None
    elif len(tunnel.routes) == 1:
        yield tunnel.name, tunnel.routes[0]
    else:
        yield from ((f"{tunnel.name}-{number}", route) for number, route in enumerate(tunnel.routes, 1))


def _child(gateway: Gateway, tunnel: Tunnel, route: Route | None, reqid: int) -> Iterator[_Line]:
    yield f"local_ts = {route.local if route else _EVERYTHING}"
    yield f"remote_ts = {route.remote if route else _EVERYTHING}"
    if route is None:
        yield f"if_id_in = {reqid}"
        yield f"if_id_out = {reqid}"
    yield f"reqid = {reqid}"
    protocol = tunnel.proposals[0].protocol.name.lower()
    yield f"{protocol}_proposals = {', '.join(child_proposal(proposal, tunnel) for proposal in tunnel.proposals)}"
    expiration = tunnel.proposals[0].expiration
    for unit, amount in (("time", expiration.seconds), ("bytes", expiration.kilobytes and expiration.kilobytes * 1024)):
        suffix = "s" if unit == "time" and amount else ""
        yield f"rekey_{unit} = {_share(amount or 0)}{suffix}"
        yield f"life_{unit} = {amount or 0}{suffix}"
    yield f"start_action = {START[gateway.start]}"
    yield f"dpd_action = {DEAD[gateway.start]}"


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
    return _quoted(IDENTITY[end.identity.kind] + end.identity.value)


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
    for tunnel in side.tunnels:
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
