# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plain data, as playbooks and the host's files hold it, to the model and back.

``read`` takes what an operator writes and fills the defaults in; ``write`` gives the canonical form, secrets apart.
The two are each other's inverse on the model: ``read(*write(side)) == side``.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from . import algorithms, durations, hardware, identities, reading
from .findings import Finding
from .model import (
    Credential,
    CredentialMethod,
    DataPlaneChoice,
    DeadPeerDetection,
    Direction,
    Endpoint,
    EndpointPair,
    Expiration,
    Gateway,
    Identity,
    IdentityKind,
    IkeVersion,
    KeepAlive,
    Mode,
    Platform,
    Proposal,
    Protocol,
    Route,
    Secret,
    Side,
    Start,
    Transform,
    Tunnel,
    VirtualInterface,
)
from .reading import Fields, Misfit, Misfits
from .selectors import Address, Selector

VERSION = 1
"""Of the format that ``write`` gives and ``read`` takes."""

DEFAULT_TRANSFORM = Transform("default", algorithms.authentication("SHA2-256"), algorithms.encryption("AES-256"),
                              algorithms.key_group(14), 24 * 3600)
DEFAULT_PROPOSAL = Proposal("default", Protocol.ESP, algorithms.authentication("SHA2-256"),
                            algorithms.encryption("AES-256"), Expiration(8 * 3600, None))
DEFAULT_PFS = algorithms.key_group(14)

_DECLARATION = ("version", "site", "transforms", "proposals", "gateways", "tunnels")
_TRANSFORM = ("name", "authentication", "encryption", "sa_life", "key_group")
_PROPOSAL = ("name", "protocol", "authentication", "encryption", "force_key_expiration")
_GATEWAY = ("name", "ike_version", "mode", "credential", "endpoints", "transforms", "nat_traversal",
            "dead_peer_detection", "ike_keep_alive", "start")
_TUNNEL = ("name", "gateway", "routes", "proposals", "pfs", "dataplane", "interface")

_DAY = 86400
_UNREAD_ADDRESS = ipaddress.IPv4Address(0)
_UNREAD_IDENTITY = Identity(IdentityKind.IP_ADDRESS, "")
_UNREAD_SELECTOR = Selector(_UNREAD_ADDRESS, _UNREAD_ADDRESS)

_AUTHENTICATION = reading.row(algorithms.authentication, [row.name for row in algorithms.AUTHENTICATIONS],
                              "authentication algorithm")
_ENCRYPTION = reading.row(algorithms.encryption, [row.name for row in algorithms.ENCRYPTIONS],
                          "encryption algorithm")
_KEY_GROUP = reading.row(algorithms.key_group, [str(row.number) for row in algorithms.KEY_GROUPS], "key group")

_Item = TypeVar("_Item", Transform, Proposal)


class DeclarationError(ValueError):
    """A declaration that cannot be read; ``findings`` are all its errors in the order of the text."""

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        super().__init__("\n".join(finding.message for finding in findings))
        self.findings = findings


def read(data: Mapping[str, object], *, secrets: Mapping[str, object] | None = None,
         site_name: str | None = None) -> Side:
    """The side that a declaration describes. ``site_name`` names it where the declaration does not.

    With ``secrets`` every gateway with a pre-shared key must have it there or inline; without them a key may be
    missing and is then unknown. Raises DeclarationError with every error there is.
    """
    return _Reader(data, secrets, site_name).side()


class _Reader:
    """Reads one declaration; its methods follow the declaration's shape from the outside in."""

    def __init__(self, data: Mapping[str, object], secrets: Mapping[str, object] | None, site_name: str | None) -> None:
        site = data.get("site") if isinstance(data, Mapping) else None
        name = site.get("name") if isinstance(site, Mapping) else None
        self._site_name = site_name
        self._misfits = Misfits(name if isinstance(name, str) and reading.NAME.fullmatch(name) else site_name or "")
        self._top = Fields(data, "", _DECLARATION, self._misfits)
        self._top.take("version", reading.number(VERSION, VERSION), VERSION)
        self._keys: Mapping[object, object] | None = None
        if secrets is not None:
            fields = Fields(secrets, "secrets", ("version", "gateways"), self._misfits, hidden=True)
            fields.take("version", reading.number(VERSION, VERSION), VERSION)
            self._keys = fields.take("gateways", reading.mapping, {})

    def side(self) -> Side:
        site = self._top.section("site", ("name", "platform", "firmware", "managed"))
        name = site.take("name", reading.name, self._site_name or "", required=not self._site_name)
        platform = _platform(site)
        managed = site.take("managed", reading.flag, platform.is_linux)
        transforms = [_transform(fields) for fields in self._top.sections("transforms", _TRANSFORM)]
        proposals = [_proposal(fields) for fields in self._top.sections("proposals", _PROPOSAL)]
        transform_of = {item.name: item for item in (DEFAULT_TRANSFORM, *transforms)}
        proposal_of = {item.name: item for item in (DEFAULT_PROPOSAL, *proposals)}
        gateways = tuple(self._gateway(fields, transform_of) for fields in self._top.sections("gateways", _GATEWAY))
        names = {gateway.name for gateway in gateways}
        tunnels = tuple(_tunnel(fields, names, proposal_of) for fields in self._top.sections("tunnels", _TUNNEL))
        if self._misfits.findings:
            raise DeclarationError(tuple(self._misfits.findings))
        return Side(name, gateways, tunnels, platform, managed,
                    _joined(transforms, (item for gateway in gateways for item in gateway.transforms)),
                    _joined(proposals, (item for tunnel in tunnels for item in tunnel.proposals)))

    def _gateway(self, fields: Fields, transforms: Mapping[str, Transform]) -> Gateway:
        name = fields.take("name", reading.name, "", required=True)
        version = fields.take("ike_version", reading.choice(IkeVersion), IkeVersion.V2)
        mode = fields.take("mode", reading.choice(Mode), Mode.MAIN if version is IkeVersion.V1 else None)
        nat = fields.section("nat_traversal", ("enabled", "keep_alive"))
        peer = fields.section("dead_peer_detection", ("enabled", "idle", "retries"))
        usual = DeadPeerDetection()
        detection = DeadPeerDetection(peer.take("idle", _seconds(1, _DAY), usual.idle),
                                      peer.take("retries", reading.number(1, 100), usual.retries))
        return Gateway(
            name=name,
            version=version,
            credential=self._credential(fields, name),
            endpoints=tuple(_endpoint_pair(pair) for pair in
                            fields.sections("endpoints", ("local", "remote"), named=False, required=True)),
            transforms=_referred(fields, "transforms", transforms, DEFAULT_TRANSFORM),
            mode=mode,
            nat_traversal=nat.take("enabled", reading.flag, True),
            nat_keep_alive=nat.take("keep_alive", _seconds(1, 3600), 20),
            dead_peer_detection=detection if peer.take("enabled", reading.flag, True) else None,
            keep_alive=_keep_alive(fields),
            start=fields.take("start", reading.choice(Start), Start.BOOT),
        )

    def _credential(self, fields: Fields, gateway: str) -> Credential:
        credential = fields.section("credential", ("method", "psk"), hidden=True)
        method = credential.take("method", reading.choice(CredentialMethod), CredentialMethod.PSK,
                                 required=True)
        if "psk" in credential:
            return Credential(method, credential.take("psk", _secret(method), None))
        if self._keys is None or method is CredentialMethod.CERTIFICATE or "method" not in credential:
            return Credential(method)
        if gateway not in self._keys:
            credential.report("psk", Misfit(f"a gateway with method {method.value} needs its key", "Set psk",
                                            code="missing-field", state="is missing"))
            return Credential(method)
        kept = Fields(self._keys[gateway], f"secrets.gateways[{gateway}]", ("method", "psk"), self._misfits,
                      hidden=True)
        if kept.take("method", reading.choice(CredentialMethod), method, required=True) is not method:
            kept.report("method", Misfit(f"the declaration says {method.value}", "Write both files together",
                                         state="is another"))
        return Credential(method, kept.take("psk", _secret(method), None, required=True))


def _platform(site: Fields) -> Platform:
    model = site.take("platform", hardware.parse_model, "linux")
    firmware = site.take("firmware", hardware.parse_firmware, None)
    if firmware is not None and model == "linux":
        site.report("firmware", Misfit("only appliances have a firmware version", "Remove firmware, or name the model",
                                       state=f"is {firmware}"))
    return Platform(model, firmware)


def _transform(fields: Fields) -> Transform:
    usual = DEFAULT_TRANSFORM
    return Transform(
        name=fields.take("name", reading.name, "", required=True),
        authentication=fields.take("authentication", _AUTHENTICATION, usual.authentication),
        encryption=fields.take("encryption", _ENCRYPTION, usual.encryption),
        key_group=fields.take("key_group", _KEY_GROUP, usual.key_group),
        sa_life=fields.take("sa_life", _seconds(10, 365 * _DAY), usual.sa_life),
    )


def _proposal(fields: Fields) -> Proposal:
    usual = DEFAULT_PROPOSAL
    protocol = fields.take("protocol", reading.choice(Protocol, lambda protocol: protocol.name), Protocol.ESP)
    encryption = fields.take("encryption", reading.or_none(_ENCRYPTION),
                             usual.encryption if protocol is Protocol.ESP else None)
    separate = encryption is None or not encryption.aead
    expiration = fields.section("force_key_expiration", ("time", "traffic"))
    traffic = expiration.take("traffic", reading.measured(durations.parse_traffic, 64, 2**32 - 1,
                                                          durations.format_traffic, "an amount"), None)
    return Proposal(
        name=fields.take("name", reading.name, "", required=True),
        protocol=protocol,
        authentication=fields.take("authentication", reading.or_none(_AUTHENTICATION),
                                   usual.authentication if separate else None),
        encryption=encryption,
        expiration=Expiration(expiration.take("time", _seconds(10, 365 * _DAY),
                                              usual.expiration.seconds if traffic is None else None), traffic),
    )


def _keep_alive(fields: Fields) -> KeepAlive | None:
    section = fields.section("ike_keep_alive", ("enabled", "interval", "failures"))
    usual = KeepAlive()
    keep_alive = KeepAlive(section.take("interval", _seconds(1, 3600), usual.interval),
                           section.take("failures", reading.number(1, 100), usual.failures))
    return keep_alive if section.take("enabled", reading.flag, False) else None


def _endpoint_pair(fields: Fields) -> EndpointPair:
    known = ("address", "identifier")
    return EndpointPair(_endpoint(fields.section("local", known)), _endpoint(fields.section("remote", known)))


def _endpoint(fields: Fields) -> Endpoint:
    address = fields.take("address", _address, _UNREAD_ADDRESS, required=True)
    if address is not None and "identifier" not in fields:
        return Endpoint(address, identities.of_address(address))
    identifier = fields.section("identifier", ("type", "value"))
    kind = identifier.take("type", reading.choice(IdentityKind), None, required=True)
    if kind is None:
        return Endpoint(address, _UNREAD_IDENTITY)
    parse = reading.sentence(lambda text: identities.parse(kind, text), f"Write an identifier of type {kind.value}")
    return Endpoint(address, identifier.take("value", parse, _UNREAD_IDENTITY, required=True))


def _address(value: object) -> Address | None:
    if isinstance(value, str) and value.strip().lower() == "dynamic":
        return None
    return reading.sentence(identities.parse_address, "Write the gateway's address, or dynamic")(value)


def _tunnel(fields: Fields, gateways: Iterable[str], proposals: Mapping[str, Proposal]) -> Tunnel:
    pfs = fields.section("pfs", ("enabled", "key_group"))
    group = pfs.take("key_group", _KEY_GROUP, DEFAULT_PFS)
    return Tunnel(
        name=fields.take("name", reading.name, "", required=True),
        gateway=fields.take("gateway", _reference(gateways, "gateway"), "", required=True),
        routes=tuple(_route(route) for route in
                     fields.sections("routes", ("local", "remote", "direction"), named=False, required=True)),
        proposals=_referred(fields, "proposals", proposals, DEFAULT_PROPOSAL),
        pfs=group if pfs.take("enabled", reading.flag, True) else None,
        dataplane=fields.take("dataplane", reading.choice(DataPlaneChoice), DataPlaneChoice.AUTO),
        interface=_interface(fields) if "interface" in fields else None,
    )


def _route(fields: Fields) -> Route:
    selector = reading.sentence(Selector.parse, "Write a host, a network or a range, such as 10.1.0.0/24")
    return Route(fields.take("local", selector, _UNREAD_SELECTOR, required=True),
                 fields.take("remote", selector, _UNREAD_SELECTOR, required=True),
                 fields.take("direction", reading.choice(Direction), Direction.BOTH))


def _interface(fields: Fields) -> VirtualInterface:
    section = fields.section("interface", ("name", "addresses", "metric"))
    address = reading.sentence(lambda text: str(ipaddress.ip_interface(text)), "Write such as 169.254.0.1/30")
    return VirtualInterface(section.take("name", reading.name, "", required=True), section.each("addresses", address),
                            section.take("metric", reading.number(0, 2**32 - 1), None))


def _referred(fields: Fields, name: str, known: Mapping[str, _Item], usual: _Item) -> tuple[_Item, ...]:
    """The items that the list of names under ``name`` refers to, in its order."""
    if name not in fields:
        return (known[usual.name],)
    names = fields.each(name, _reference(known, name.removesuffix("s")), required=True)
    return tuple(known[item] for item in names)


def _reference(known: Iterable[str], what: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        word = reading.name(value)
        if word not in known:
            near = reading.nearest(word, known)
            raise Misfit(f"no {what} of that name is declared",
                         f"Did you mean {near}? Write it, or declare {word}" if near else f"Declare {word}",
                         code="unknown-reference")
        return word

    return read


def _seconds(low: int, high: int) -> Callable[[object], int]:
    return reading.measured(durations.parse_duration, low, high, durations.format_duration, "a duration")


def _secret(method: CredentialMethod) -> Callable[[object], Secret]:
    """A parser of keys whose misfits never hold what was written."""

    def read(value: object) -> Secret:
        if method is CredentialMethod.CERTIFICATE:
            raise Misfit("a certificate needs no pre-shared key", "Remove psk", state="is set")
        if not isinstance(value, str):
            raise Misfit("a pre-shared key is text", "Write it as text, in quotes", code="wrong-type",
                         state="is no text")
        if not value:
            raise Misfit("a pre-shared key has at least one character", "Set the key that both ends share",
                         state="is empty")
        try:
            if method is CredentialMethod.PSK:
                return Secret(value.encode())
            octets = bytes.fromhex(value.strip().removeprefix("0x"))
        except ValueError:
            rule = "text" if method is CredentialMethod.PSK else "an even number of hexadecimal digits"
            raise Misfit(f"a key of method {method.value} is {rule}", "Write it so, or change the method",
                         state="is not") from None
        if not octets:
            raise Misfit("a pre-shared key has at least one octet", "Set the key that both ends share",
                         state="is empty")
        return Secret(octets)

    return read


def _joined(declared: Iterable[_Item], used: Iterable[_Item]) -> tuple[_Item, ...]:
    """All declared items, then the built-in ones in use."""
    by_name: dict[str, _Item] = {item.name: item for item in declared}
    for item in used:
        by_name.setdefault(item.name, item)
    return tuple(by_name.values())


def write(side: Side) -> tuple[dict[str, object], dict[str, object]]:
    """The canonical declaration without its secrets, and the secrets: what the host's two files hold."""
    declaration: dict[str, object] = {
        "version": VERSION,
        "site": _plain(name=side.name, platform=side.platform.model, firmware=side.platform.firmware,
                       managed=side.managed),
        "transforms": [_write_transform(item) for item in
                       _joined(side.transforms, (item for gateway in side.gateways for item in gateway.transforms))],
        "proposals": [_write_proposal(item) for item in
                      _joined(side.proposals, (item for tunnel in side.tunnels for item in tunnel.proposals))],
        "gateways": [_write_gateway(gateway) for gateway in side.gateways],
        "tunnels": [_write_tunnel(tunnel) for tunnel in side.tunnels],
    }
    keys = {gateway.name: _write_key(gateway.credential.method, gateway.credential.secret)
            for gateway in side.gateways if gateway.credential.secret is not None}
    return declaration, {"version": VERSION, "gateways": keys}


def digest(declaration: Mapping[str, object]) -> str:
    """SHA-256 of a declaration's canonical JSON, in hex."""
    text = json.dumps(declaration, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(**fields: object) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value is not None}


def _write_transform(transform: Transform) -> dict[str, object]:
    return _plain(name=transform.name, authentication=transform.authentication.name,
                  encryption=transform.encryption.name, sa_life=durations.format_duration(transform.sa_life),
                  key_group=transform.key_group.number)


def _write_proposal(proposal: Proposal) -> dict[str, object]:
    seconds, kilobytes = proposal.expiration.seconds, proposal.expiration.kilobytes
    separate = proposal.encryption is None or not proposal.encryption.aead
    return _plain(
        name=proposal.name, protocol=proposal.protocol.name,
        authentication=proposal.authentication.name if proposal.authentication else "none" if separate else None,
        encryption=proposal.encryption.name if proposal.encryption else "none",
        force_key_expiration=_plain(time=None if seconds is None else durations.format_duration(seconds),
                                    traffic=None if kilobytes is None else durations.format_traffic(kilobytes)))


def _write_gateway(gateway: Gateway) -> dict[str, object]:
    peer, keep_alive = gateway.dead_peer_detection, gateway.keep_alive
    return _plain(
        name=gateway.name,
        ike_version=gateway.version.value,
        mode=gateway.mode.value if gateway.mode else None,
        credential={"method": gateway.credential.method.value},
        endpoints=[{"local": _write_endpoint(pair.local), "remote": _write_endpoint(pair.remote)}
                   for pair in gateway.endpoints],
        transforms=[transform.name for transform in gateway.transforms],
        nat_traversal={"enabled": gateway.nat_traversal,
                       "keep_alive": durations.format_duration(gateway.nat_keep_alive)},
        dead_peer_detection={"enabled": True, "idle": durations.format_duration(peer.idle), "retries": peer.retries}
        if peer else {"enabled": False},
        ike_keep_alive={"enabled": True, "interval": durations.format_duration(keep_alive.interval),
                        "failures": keep_alive.failures} if keep_alive else None,
        start=gateway.start.value,
    )


def _write_endpoint(endpoint: Endpoint) -> dict[str, object]:
    return {"address": "dynamic" if endpoint.address is None else str(endpoint.address),
            "identifier": {"type": endpoint.identity.kind.value, "value": endpoint.identity.value}}


def _write_tunnel(tunnel: Tunnel) -> dict[str, object]:
    interface = tunnel.interface
    return _plain(
        name=tunnel.name,
        gateway=tunnel.gateway,
        routes=[{"local": str(route.local), "remote": str(route.remote), "direction": route.direction.value}
                for route in tunnel.routes],
        proposals=[proposal.name for proposal in tunnel.proposals],
        pfs={"enabled": True, "key_group": tunnel.pfs.number} if tunnel.pfs else {"enabled": False},
        dataplane=tunnel.dataplane.value,
        interface=_plain(name=interface.name, addresses=list(interface.addresses), metric=interface.metric)
        if interface else None,
    )


def _write_key(method: CredentialMethod, secret: Secret) -> dict[str, object]:
    octets = secret.octets
    return {"method": method.value, "psk": octets.decode() if method is CredentialMethod.PSK else octets.hex()}
