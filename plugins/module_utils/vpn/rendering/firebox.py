# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What to enter in a Firebox: a sheet in the labels and the order of its own pages.

After the WatchGuard Help Center's "Configure Manual BOVPN Gateways", "Define Gateway Endpoints for a BOVPN Gateway",
"Configure IPSec VPN Phase 1 Settings", "Configure IKEv2 Shared Settings", "Configure Manual BOVPN Tunnels",
"Configure Phase 2 Settings" and "Configure a BOVPN Virtual Interface". Whether a model and its firmware can do it is
for the rules to say.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator

from ..algorithms import Encryption, KeyGroup
from ..hardware import FIREWARE_ENCRYPTIONS, FIREWARE_KEY_GROUPS
from ..model import (
    CredentialMethod,
    Direction,
    Endpoint,
    Gateway,
    IdentityKind,
    IkeVersion,
    Mode,
    Proposal,
    Side,
    Start,
    Transform,
    Tunnel,
    VirtualInterface,
)
from ..selectors import Selector
from . import Rendering

SHEET, KEYS = "firebox.md", "firebox-keys.txt"

CREDENTIAL = {CredentialMethod.PSK: "Use Pre-Shared Key, String-Based", CredentialMethod.HEX_PSK:
              "Use Pre-Shared Key, Hex-Based", CredentialMethod.CERTIFICATE: "Use IPSec Firebox Certificate"}
IDENTITY = {IdentityKind.IP_ADDRESS: "By IP Address", IdentityKind.DOMAIN_NAME: "By Domain Name",
            IdentityKind.DOMAIN_INFORMATION: "By User ID on Domain", IdentityKind.X500_NAME: "By x500 Name"}
MODE = {Mode.MAIN: "Main", Mode.AGGRESSIVE: "Aggressive", Mode.MAIN_FALLBACK_AGGRESSIVE: "Main fallback to Aggressive"}
DIRECTION = {Direction.BOTH: "bi-directional (<===>)", Direction.LOCAL_TO_REMOTE: "Local to Remote (===>)",
             Direction.REMOTE_TO_LOCAL: "Remote to Local (<===)"}

_Row = tuple[str, str]
_YES, _NO = "selected", "cleared"
_NONE = "no such setting"


def render(side: Side) -> Rendering:
    """One Markdown sheet without keys, the keys by gateway, and certificates to import in files of their own."""
    lines = [f"# {_text(side.name)}: what to enter", ""]
    lines += ["Every value is one of the Firebox's own fields, in the order of its pages. Keys stand in a file of "
              "their own.", ""]
    sharing = [gateway for gateway in side.gateways if gateway.shares_transforms]
    if sharing:
        lines += ["## VPN > IKEv2 Shared Settings", "", *_table(_shared(sharing))]
    for gateway in side.gateways:
        tunnels = side.tunnels_of(gateway.name)
        routed = [tunnel for tunnel in tunnels if tunnel.interface is not None]
        if len(routed) < len(tunnels) or not tunnels:
            lines += [f"## VPN > Branch Office VPN > Gateways: {_text(gateway.name)}", "", "### General Settings", "",
                      *_table((("Gateway Name", gateway.name), *_general(gateway))),
                      "### Phase 1 Settings", "", *_table(_phase1(gateway))]
        for tunnel in tunnels:
            lines += _virtual_interface(gateway, tunnel) if tunnel in routed else _tunnel(gateway, tunnel)
    files, secrets = {SHEET: "\n".join(lines)}, {}
    keys = "".join(f"{gateway.name}: {_key(gateway)}\n" for gateway in side.gateways
                   if gateway.credential.secret is not None and gateway.method is not CredentialMethod.CERTIFICATE)
    if keys:
        secrets[KEYS] = keys
    for gateway in side.gateways:
        if gateway.method is CredentialMethod.CERTIFICATE:
            files |= _certificates(gateway)
            if gateway.credential.secret is not None:
                secrets[_private_key(gateway)] = gateway.credential.secret.octets.decode()
    return Rendering(files, secrets)


def _key(gateway: Gateway) -> str:
    """One line: what cannot be typed is shown in hexadecimal digits."""
    octets = gateway.credential.secret.octets if gateway.credential.secret else b""
    if gateway.method is CredentialMethod.HEX_PSK:
        return octets.hex()
    return octets.decode() if _typable(gateway) else f"cannot be typed; its octets are 0x{octets.hex()}"


def _typable(gateway: Gateway) -> bool:
    """Whether a text key fits into a line of input."""
    secret = gateway.credential.secret
    return gateway.method is not CredentialMethod.PSK or secret is None or secret.octets.decode().isprintable()


def _private_key(gateway: Gateway) -> str:
    return f"private/{gateway.name}.pem"


def _certificates(gateway: Gateway) -> dict[str, str]:
    """What is imported before a gateway can choose its certificate."""
    credential = gateway.credential
    files = {} if credential.certificate is None else {f"certificates/{gateway.name}.pem": credential.certificate}
    for kind, texts in (("ca", credential.ca), ("chain", credential.chain), ("crl", credential.crl)):
        files |= {f"certificates/{gateway.name}-{kind}-{number}.pem": text for number, text in enumerate(texts, 1)}
    return files


def _general(gateway: Gateway) -> Iterator[_Row]:
    families = {end.address.version for pair in gateway.endpoints for end in (pair.local, pair.remote) if end.address}
    yield "Address Family", "IPv6 Addresses" if families == {6} else "IPv4 Addresses"
    key = f" (in {KEYS})" if gateway.credential.secret is not None else ""
    if gateway.method is CredentialMethod.CERTIFICATE:
        files = [*_certificates(gateway), *([_private_key(gateway)] if key else [])]
        key = f" (import {', '.join(files)} first)" if files else ""
    yield "Credential Method", CREDENTIAL[gateway.method] + key
    if not _typable(gateway):
        yield _NONE, "a string-based key with line breaks or control characters; agree on a hex-based one"
    if gateway.credential.ppk is not None:
        yield _NONE, f"post-quantum pre-shared key {gateway.credential.ppk.id}"
    for number, pair in enumerate(gateway.endpoints, 1):
        where = f"Gateway Endpoint {number}: " if len(gateway.endpoints) > 1 else "Gateway Endpoint: "
        yield f"{where}Local Gateway, External Interface, Interface IP Address", (
            "Dynamic IP Address" if pair.local.address is None else str(pair.local.address))
        yield f"{where}Local Gateway, Specify the gateway ID for tunnel authentication", _identity(pair.local)
        dynamic = pair.remote.address is None
        yield (f"{where}Remote Gateway, {'Dynamic' if dynamic else 'Static'} IP Address",
               _YES if dynamic else str(pair.remote.address))
        yield f"{where}Remote Gateway, Specify the gateway ID for tunnel authentication", _identity(pair.remote)
    yield "Start Phase 1 tunnel when Firebox starts", _YES if gateway.start is Start.BOOT else _NO
    if gateway.start is Start.ANSWER:
        yield _NONE, "to answer and never to initiate"


def _identity(end: Endpoint) -> str:
    return f"{IDENTITY[end.identity.kind]}: {end.identity.value}"


def _shared(gateways: Iterable[Gateway]) -> Iterator[_Row]:
    """What all IKEv2 gateways with a dynamic remote end have in common: their NAT traversal and their transforms."""
    first, *others = gateways
    yield "NAT Traversal, Keep-alive Interval", f"{first.nat_keep_alive} seconds"
    yield from _transforms(first.transforms)
    for gateway in others:
        if gateway.nat_keep_alive != first.nat_keep_alive:
            yield _NONE, f"a keep-alive interval of {gateway.nat_keep_alive} seconds for gateway {gateway.name} alone"


def _phase1(gateway: Gateway) -> Iterator[_Row]:
    yield "Version", f"IKEv{gateway.version.value}"
    if gateway.mode is not None:
        yield "Mode", MODE[gateway.mode]
    if gateway.version is IkeVersion.V1:
        yield "NAT Traversal", _YES if gateway.nat_traversal else _NO
    if gateway.nat_traversal and not gateway.shares_transforms:
        yield "NAT Traversal, Keep-alive Interval", f"{gateway.nat_keep_alive} seconds"
    if gateway.version is IkeVersion.V1:
        keep_alive, detection = gateway.keep_alive, gateway.dead_peer_detection
        yield "IKE Keep-alive", _YES if keep_alive else _NO
        if keep_alive:
            yield "IKE Keep-alive, Message Interval", f"{keep_alive.interval} seconds"
            yield "IKE Keep-alive, Max failures", str(keep_alive.failures)
        yield "Dead Peer Detection (RFC3706)", _YES if detection else _NO
    if gateway.version is IkeVersion.V2:
        yield "Dead Peer Detection, Type", "Traffic-Based"
    if gateway.dead_peer_detection:
        yield "Dead Peer Detection, Traffic idle timeout", f"{gateway.dead_peer_detection.idle} seconds"
        yield "Dead Peer Detection, Max retries", str(gateway.dead_peer_detection.retries)
    if gateway.shares_transforms:
        yield "NAT Traversal, Transform Settings", "the IKEv2 Shared Settings"
    else:
        yield from _transforms(gateway.transforms)


def _transforms(transforms: Iterable[Transform]) -> Iterator[_Row]:
    for number, transform in enumerate(transforms, 1):
        where = f"Transform Settings {number}"
        yield f"{where}, Authentication", transform.authentication.name
        yield f"{where}, Encryption", encryption(transform.encryption)
        yield f"{where}, SA Life", duration(transform.sa_life)
        yield f"{where}, Key Group", group(transform.key_group)
        if transform.additional_key_exchange is not None:
            yield _NONE, f"additional key exchange {transform.additional_key_exchange.name}"


def _tunnel(gateway: Gateway, tunnel: Tunnel) -> Iterator[str]:
    yield from (f"## VPN > Branch Office VPN > Tunnels: {_text(tunnel.name)}", "")
    yield from ("### Addresses", "", *_table((("Name", tunnel.name), ("Gateway", gateway.name))))
    yield from ("| Local IP | Remote IP | Direction |", "|---|---|---|")
    for route in tunnel.routes:
        yield f"| {selector(route.local)} | {selector(route.remote)} | {DIRECTION[route.direction]} |"
    yield from ("", "### Phase 2 Settings", "", *_table(_phase2(tunnel)))


def _virtual_interface(gateway: Gateway, tunnel: Tunnel) -> Iterator[str]:
    """Its pages have the gateway's settings, too: each virtual interface has a gateway of its own."""
    interface = tunnel.interface or VirtualInterface(tunnel.name)
    yield from (f"## VPN > BOVPN Virtual Interfaces: {_text(interface.name)}", "")
    yield from _table((("Interface Name", interface.name),
                       ("Remote Endpoint Type", "Cloud VPN or Third-Party Gateway")))
    yield from ("### Gateway Settings", "", *_table(_general(gateway)), "### VPN Routes", "")
    if interface.addresses:
        yield from _table(_addresses(interface))
    if tunnel.routes:
        yield from ("| Route To | Metric |", "|---|---|")
        for route in tunnel.routes:
            yield f"| {selector(route.remote)} | {1 if interface.metric is None else interface.metric} |"
        yield ""
    yield from ("### Phase 1 Settings", "", *_table(_phase1(gateway)))
    yield from ("### Phase 2 Settings", "", *_table(_phase2(tunnel)))


def _addresses(interface: VirtualInterface) -> Iterator[_Row]:
    where = "Assign virtual interface IP addresses"
    first, *others = map(ipaddress.ip_interface, interface.addresses)
    yield f"{where}, Local IP address", str(first.ip)
    yield f"{where}, Peer IP address or netmask", str(first.netmask if first.version == 4 else first.network.prefixlen)
    for other in others:
        yield _NONE, f"a further address, {other}"


def _phase2(tunnel: Tunnel) -> Iterator[_Row]:
    yield "Enable Perfect Forward Secrecy", _YES if tunnel.pfs else _NO
    if tunnel.pfs:
        yield "Perfect Forward Secrecy, Diffie-Hellman group", group(tunnel.pfs)
    if tunnel.additional_key_exchange is not None:
        yield _NONE, f"additional key exchange {tunnel.additional_key_exchange.name}"
    for number, proposal in enumerate(tunnel.proposals, 1):
        yield from ((f"IPSec Proposals {number}, {label}", value) for label, value in _proposal(proposal))


def _proposal(proposal: Proposal) -> Iterator[_Row]:
    yield "Name", proposal.name
    yield "Type", {"ESP": "ESP (Encapsulating Security Payload)", "AH": "AH (Authentication Header)"}[
        proposal.protocol.name]
    if proposal.authentication is not None:
        yield "Authentication", proposal.authentication.name
    if proposal.encryption is not None:
        yield "Encryption", encryption(proposal.encryption)
    expiration = proposal.expiration
    yield "Force Key Expiration, Time", duration(expiration.seconds) if expiration.seconds else _NO
    yield "Force Key Expiration, Traffic", f"{expiration.kilobytes} kilobytes" if expiration.kilobytes else _NO


def encryption(row: Encryption) -> str:
    """``AES (256-bit)``, ``AES-GCM (128-bit)``; DES and 3DES by their names."""
    family, dash, bits = row.name.rpartition("-")
    word = f"{family} ({bits}-bit)" if dash and bits.isdigit() else row.name
    return word if row in FIREWARE_ENCRYPTIONS else f"{_NONE}: {word}"


def group(row: KeyGroup) -> str:
    word = f"Diffie-Hellman Group {row.number}"
    return word if row in FIREWARE_KEY_GROUPS else f"{_NONE}: {word}"


def duration(seconds: int) -> str:
    """``24 hours`` or ``90 minutes``, the units that the pages have."""
    for unit, scale in (("hours", 3600), ("minutes", 60)):
        if seconds % scale == 0:
            return f"{seconds // scale} {unit}"
    return f"{_NONE}: {seconds} seconds"


def selector(value: Selector) -> str:
    """With the type that the page asks for first."""
    family = f"IPv{value.version}"
    kind = "Host" if value.low == value.high else "Host Range" if value.is_range else "Network"
    return f"{kind} {family}: {value}"


def _table(rows: Iterable[_Row]) -> Iterator[str]:
    yield from ("| Field | Value |", "|---|---|")
    for label, value in rows:
        yield f"| {_text(label)} | {_text(value)} |"
    yield ""


def _text(value: str) -> str:
    """As Markdown shows it, whatever is in it."""
    return "".join(f"\\{char}" if char in "\\`*_[]<>|#&~" else char for char in value)
