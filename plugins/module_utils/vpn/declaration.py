# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plain data, as playbooks and the host's files hold it, to the model and back.

``read`` takes what an operator writes and fills the defaults in; ``write`` gives the canonical form, secrets apart.
The two are each other's inverse on the model: ``read(*write(side)) == side``.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TypeVar

from . import algorithms, durations, hardware, identities, pem, reading
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
    Policy,
    Ppk,
    Proposal,
    Protocol,
    Route,
    SaPairs,
    Secret,
    Side,
    Start,
    Transform,
    Tunnel,
    VirtualInterface,
)
from .reading import Fields, Misfit, Misfits
from .selectors import Address, Selector
from .writing import VERSION, joined, write

__all__ = [
    "DEFAULT_PFS", "DEFAULT_PROPOSAL", "DEFAULT_TRANSFORM", "ENDPOINT", "GATEWAY", "MOST_ALSO_ACCEPTED", "PROPOSAL",
    "TRANSFORM", "TUNNEL", "VERSION", "DeclarationError", "digest", "key_parser", "keyed_digest", "read",
    "read_endpoint", "read_gateway", "read_platform", "read_proposal", "read_route", "read_transform", "read_tunnel",
    "referred", "write",
]

DEFAULT_TRANSFORM = Transform("default", algorithms.authentication("SHA2-256"), algorithms.encryption("AES-256"),
                              algorithms.key_group(14), 24 * 3600)
DEFAULT_PROPOSAL = Proposal("default", Protocol.ESP, algorithms.authentication("SHA2-256"),
                            algorithms.encryption("AES-256"), Expiration(8 * 3600, None))
DEFAULT_PFS = algorithms.key_group(14)

_DECLARATION = ("version", "site", "policy", "transforms", "shared_transforms", "proposals", "gateways", "tunnels")
TRANSFORM = ("name", "authentication", "encryption", "sa_life", "key_group", "additional_key_exchange")
PROPOSAL = ("name", "protocol", "authentication", "encryption", "force_key_expiration")
GATEWAY = ("name", "ike_version", "mode", "credential", "endpoints", "transforms", "nat_traversal",
           "dead_peer_detection", "ike_keep_alive", "start")
ENDPOINT = ("address", "public_address", "identifier")
_CREDENTIAL = ("method", "psk", "also_accepted", "certificate", "private_key", "ca", "chain", "crl", "ppk",
               "ppk_key")
TUNNEL = ("name", "gateway", "routes", "proposals", "pfs", "sa_pairs", "dataplane", "interface")

_DAY = 86400
_LONGEST_PPK_ID = 255
MOST_ALSO_ACCEPTED = 7
"""Pre-shared keys beside a gateway's own: who is not authenticated yet makes us try each of them."""
_COLON = re.compile("(?<=[0-9a-f]):(?=[0-9a-f])")
"""Between two octets of a hexadecimal key, where bytes.fromhex takes a space."""
_UNREAD_ADDRESS = ipaddress.IPv4Address(0)
_UNREAD_IDENTITY = Identity(IdentityKind.IP_ADDRESS, "")
_UNREAD_SELECTOR = Selector(_UNREAD_ADDRESS, _UNREAD_ADDRESS)

_Item = TypeVar("_Item", Transform, Proposal)
_T = TypeVar("_T")
_Row = TypeVar("_Row", algorithms.Authentication, algorithms.Encryption, algorithms.KeyGroup)


def _algorithm(lookup: Callable[[str], _Row], table: Sequence[_Row], name: Callable[[_Row], str],
               what: str) -> Callable[[object], _Row]:
    weak = [name(row) for row in table if row.strength is algorithms.Strength.WEAK]
    return reading.row(lookup, [name(row) for row in table if name(row) not in weak], what, weak)


_AUTHENTICATION = _algorithm(algorithms.authentication, algorithms.AUTHENTICATIONS, lambda row: row.name,
                             "authentication algorithm")
_ENCRYPTION = _algorithm(algorithms.encryption, algorithms.ENCRYPTIONS, lambda row: row.name, "encryption algorithm")
_KEY_GROUP = _algorithm(algorithms.key_group, algorithms.KEY_GROUPS, lambda row: str(row.number), "key group")
_KEY_ENCAPSULATION = reading.or_none(reading.row(
    algorithms.key_encapsulation, [row.name for row in algorithms.KEY_ENCAPSULATIONS], "additional key exchange"))

_PUBLIC = reading.sentence(identities.parse_address, "Write the address that the NAT shows to the outside")


class DeclarationError(ValueError):
    """A declaration that cannot be read; ``findings`` are all its errors in the order of the text."""

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        super().__init__("\n".join(finding.message for finding in findings))
        self.findings = findings


def read(data: Mapping[str, object], *, secrets: Mapping[str, object] | None = None,
         site_name: str | None = None) -> Side:
    """The side that a declaration describes. ``site_name`` names it where the declaration does not.

    With ``secrets`` every gateway must have its key, pre-shared or private, there or inline; without them a key may be
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
        self._keys = None if secrets is None else _Keys(secrets, self._misfits)

    def side(self) -> Side:
        site = self._top.section("site", ("name", "platform", "firmware", "managed"))
        name = site.take("name", reading.name, self._site_name or "", required=not self._site_name)
        platform = read_platform(site)
        managed = site.take("managed", reading.flag, platform.is_linux)
        policy = self._top.take("policy", reading.choice(Policy), Policy.STANDARD)
        transforms = [read_transform(fields) for fields in self._top.sections("transforms", TRANSFORM)]
        proposals = [read_proposal(fields) for fields in self._top.sections("proposals", PROPOSAL)]
        transform_of = {item.name: item for item in (DEFAULT_TRANSFORM, *transforms)}
        proposal_of = {item.name: item for item in (DEFAULT_PROPOSAL, *proposals)}
        shared = (referred(self._top, "shared_transforms", transform_of, ())
                  if self._top.listed("shared_transforms") else ())
        gateways = tuple(read_gateway(fields, transform_of, shared, self._keys)
                         for fields in self._top.sections("gateways", GATEWAY))
        names = dict.fromkeys(gateway.name for gateway in gateways if gateway.name)
        tunnels = tuple(read_tunnel(fields, names, proposal_of) for fields in self._top.sections("tunnels", TUNNEL))
        if self._misfits.findings:
            raise DeclarationError(tuple(self._misfits.findings))
        return Side(name, gateways, tunnels, platform, managed, policy, shared,
                    joined((item for item in transforms if item != DEFAULT_TRANSFORM),
                           (item for gateway in gateways for item in gateway.transforms)),
                    joined((item for item in proposals if item != DEFAULT_PROPOSAL),
                           (item for tunnel in tunnels for item in tunnel.proposals)))


class _Keys:
    """The secrets that stand apart from a declaration, by gateway."""

    def __init__(self, secrets: Mapping[str, object], misfits: Misfits) -> None:
        fields = Fields(secrets, "secrets", ("version", "gateways"), misfits, hidden=True)
        fields.take("version", reading.number(VERSION, VERSION), VERSION)
        self._gateways, self._misfits = fields.take("gateways", reading.mapping, {}), misfits

    def of(self, gateway: str) -> Fields | None:
        """The fields that are kept for it, or None."""
        if gateway not in self._gateways:
            return None
        return Fields(self._gateways[gateway], f"secrets.gateways[{gateway}]",
                      ("method", "psk", "also_accepted", "private_key", "ppk_key"), self._misfits, hidden=True)


def read_gateway(fields: Fields, transforms: Mapping[str, Transform], shared: tuple[Transform, ...] = (),
                 keys: _Keys | None = None) -> Gateway:
    """The fields of GATEWAY. With ``keys`` its key must be there or inline; ``transforms`` has the built-in one."""
    name = fields.take("name", reading.name, "", required=True)
    version = fields.take("ike_version", reading.choice(IkeVersion), IkeVersion.V2)
    mode = fields.take("mode", reading.choice(Mode), Mode.MAIN if version is IkeVersion.V1 else None)
    nat = fields.section("nat_traversal", ("enabled", "keep_alive"))
    peer = fields.section("dead_peer_detection", ("enabled", "idle", "retries"))
    usual = DeadPeerDetection()
    detection = DeadPeerDetection(peer.take("idle", _seconds(1, _DAY), usual.idle),
                                  peer.take("retries", reading.number(1, 100), usual.retries))
    gateway = Gateway(
        name=name,
        version=version,
        credential=_credential(fields, name, keys),
        endpoints=tuple(_endpoint_pair(pair) for pair in
                        fields.sections("endpoints", ("local", "remote"), named=False, required=True)),
        transforms=referred(fields, "transforms", transforms, (transforms[DEFAULT_TRANSFORM.name],)),
        mode=mode,
        nat_traversal=nat.take("enabled", reading.flag, True),
        nat_keep_alive=nat.take("keep_alive", _seconds(1, 3600), 20),
        dead_peer_detection=detection if peer.take("enabled", reading.flag, True) else None,
        keep_alive=_keep_alive(fields),
        start=fields.take("start", reading.choice(Start), Start.BOOT),
    )
    if shared and "transforms" not in fields and gateway.shares_transforms:
        return replace(gateway, transforms=shared)
    return gateway


def _credential(fields: Fields, gateway: str, keys: _Keys | None) -> Credential:
    credential = fields.section("credential", _CREDENTIAL, hidden=True)
    method = credential.take("method", reading.choice(CredentialMethod), CredentialMethod.PSK,
                             required=True)
    kept = None if keys is None else keys.of(gateway)
    return Credential(
        method=method,
        secret=_key(credential, method, kept, known=keys is not None),
        certificate=credential.take("certificate", _pem_block(method, "certificate", pem.CERTIFICATE), None),
        ca=credential.take("ca", _pem_blocks(method, "ca", pem.CERTIFICATE), ()),
        chain=credential.take("chain", _pem_blocks(method, "chain", pem.CERTIFICATE), ()),
        crl=credential.take("crl", _pem_blocks(method, "crl", pem.CRL), ()),
        ppk=_ppk(credential, kept, known=keys is not None),
        also_accepted=_also_accepted(credential, method, kept),
    )


def _key(credential: Fields, method: CredentialMethod, kept: Fields | None, *, known: bool) -> Secret | None:
    """The gateway's key, from where it stands inline or from what is ``kept`` for it; ``known`` says that keys are."""
    field, other = ("psk", "private_key") if method is not CredentialMethod.CERTIFICATE else ("private_key", "psk")
    if other in credential:
        credential.report(other, Misfit(f"method {method.value} has no {other}",
                                        f"Remove {other}, or change the method", state="is set"))
    if field in credential:
        return credential.take(field, key_parser(method), None)
    if not known or "method" not in credential:
        return None
    if kept is None:
        credential.report(field, Misfit(f"a gateway with method {method.value} needs its key", f"Set {field}",
                                        code="missing-field", state="is missing"))
        return None
    of = kept.take("method", reading.choice(CredentialMethod), method, required=True)
    if of is not method:
        credential.report(field, Misfit(f"the method is {method.value}, and the key that is kept is one of {of.value}",
                                        f"Set {field}, or the method to {of.value}", code="missing-field",
                                        state="is missing"))
        return None
    return kept.take(field, key_parser(method), None, required=True)


def _also_accepted(credential: Fields, method: CredentialMethod, kept: Fields | None) -> tuple[Secret, ...]:
    """The keys beside the gateway's own. What is ``kept`` of them belongs to the key that is kept: where a key stands
    inline they do, too."""
    field = "also_accepted"
    if method is CredentialMethod.CERTIFICATE:
        if field in credential:
            credential.report(field, Misfit("method certificate accepts whom its authorities vouch for",
                                            f"Remove {field}, and add the other authority to ca", state="is set"))
        return ()
    where = credential if kept is None or "psk" in credential or field in credential else kept
    keys = where.each(field, key_parser(method))
    if len(keys) > MOST_ALSO_ACCEPTED:
        where.report(field, Misfit(f"at most {MOST_ALSO_ACCEPTED} keys are accepted beside a gateway's own",
                                   "Remove those that no peer has any more", state=f"has {len(keys)}"))
    return keys


def _ppk(credential: Fields, kept: Fields | None, *, known: bool) -> Ppk | None:
    """The post-quantum pre-shared key; its octets stand inline or are ``kept``, as those of the other key."""
    if "ppk" not in credential:
        if "ppk_key" in credential:
            credential.report("ppk_key", Misfit("both ends know a post-quantum pre-shared key by an identity",
                                                "Set ppk.id, or remove ppk_key", state="is set"))
        return None
    section = credential.section("ppk", ("id", "required"))
    identity, required = section.take("id", _ppk_id, "", required=True), section.take("required", reading.flag, True)
    if "ppk_key" in credential:
        return Ppk(identity, required, credential.take("ppk_key", _ppk_key, None))
    if known and (kept is None or "ppk_key" not in kept):
        credential.report("ppk_key", Misfit("a gateway with ppk needs its key", "Set ppk_key", code="missing-field",
                                            state="is missing"))
    return Ppk(identity, required, None if kept is None else kept.take("ppk_key", _ppk_key, None))


def _ppk_id(value: object) -> str:
    identity = reading.text(value)
    if not identity.isprintable() or len(identity.encode()) > _LONGEST_PPK_ID:
        raise Misfit(f"an identity is printable and has at most {_LONGEST_PPK_ID} octets", "Choose such a name")
    return identity


def _ppk_key(value: object) -> Secret:
    """Text, or hexadecimal digits after ``0x``. No misfit holds what was written."""
    if not isinstance(value, str) or not value.strip().lower().startswith("0x"):
        return key_parser(CredentialMethod.PSK)(value)
    try:
        octets = bytes.fromhex(_COLON.sub(" ", value.strip().lower().removeprefix("0x")))
    except ValueError:
        octets = b""
    if not octets:
        raise Misfit("after 0x stands an even number of hexadecimal digits", "Write it so", state="is not")
    return Secret(octets)


def read_platform(site: Fields) -> Platform:
    """The fields ``platform`` and ``firmware``."""
    model = site.take("platform", hardware.parse_model, "linux")
    firmware = site.take("firmware", hardware.parse_firmware, None)
    if firmware is not None and model == "linux":
        site.report("firmware", Misfit("only appliances have a firmware version", "Remove firmware, or name the model",
                                       state=f"is {firmware}"))
    return _shared_platform(model, firmware)


_shared_platform = lru_cache(maxsize=256)(Platform)
"""One object for all sites of a kind: what is the same object is compared at once."""


def read_transform(fields: Fields) -> Transform:
    """The fields of TRANSFORM."""
    usual = DEFAULT_TRANSFORM
    return Transform(
        name=fields.take("name", reading.name, "", required=True),
        authentication=fields.take("authentication", _AUTHENTICATION, usual.authentication),
        encryption=fields.take("encryption", _ENCRYPTION, usual.encryption),
        key_group=fields.take("key_group", _KEY_GROUP, usual.key_group),
        sa_life=fields.take("sa_life", _seconds(10, 365 * _DAY), usual.sa_life),
        additional_key_exchange=fields.take("additional_key_exchange", _KEY_ENCAPSULATION, None),
    )


def read_proposal(fields: Fields) -> Proposal:
    """The fields of PROPOSAL."""
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
    return EndpointPair(read_endpoint(fields.section("local", ENDPOINT)),
                        read_endpoint(fields.section("remote", ("address", "identifier"))))


def read_endpoint(fields: Fields) -> Endpoint:
    """The fields of ENDPOINT. Without an identifier it is the address that peers reach for."""
    address = fields.take("address", _address, _UNREAD_ADDRESS, required=True)
    public = fields.take("public_address", _PUBLIC, None)
    reached = public or address
    if reached is not None and "identifier" not in fields:
        return Endpoint(address, identities.of_address(reached), public)
    identifier = fields.section("identifier", ("type", "value"))
    kind = identifier.take("type", reading.choice(IdentityKind), None, required=True)
    if kind is None:
        return Endpoint(address, _UNREAD_IDENTITY, public)
    parse = reading.sentence(lambda text: identities.parse(kind, text), f"Write an identifier of type {kind.value}")
    return Endpoint(address, identifier.take("value", parse, _UNREAD_IDENTITY, required=True), public)


def _address(value: object) -> Address | None:
    if isinstance(value, str) and value.strip().lower() == "dynamic":
        return None
    return reading.sentence(identities.parse_address, "Write the gateway's address, or dynamic")(value)


def read_tunnel(fields: Fields, gateways: Collection[str], proposals: Mapping[str, Proposal]) -> Tunnel:
    """The fields of TUNNEL. ``proposals`` has the built-in one, too."""
    pfs = fields.section("pfs", ("enabled", "key_group", "additional_key_exchange"))
    group = pfs.take("key_group", _KEY_GROUP, DEFAULT_PFS)
    additional = pfs.take("additional_key_exchange", _KEY_ENCAPSULATION, None)
    with_pfs = pfs.take("enabled", reading.flag, True)
    return Tunnel(
        name=fields.take("name", reading.name, "", required=True),
        gateway=fields.take("gateway", _reference(gateways, "gateway"), "", required=True),
        routes=tuple(read_route(route) for route in
                     fields.sections("routes", ("local", "remote", "direction"), named=False,
                                     required="interface" not in fields)),
        proposals=referred(fields, "proposals", proposals, (proposals[DEFAULT_PROPOSAL.name],)),
        pfs=group if with_pfs else None,
        dataplane=fields.take("dataplane", reading.choice(DataPlaneChoice), DataPlaneChoice.AUTO),
        interface=_interface(fields) if "interface" in fields else None,
        additional_key_exchange=additional if with_pfs else None,
        sa_pairs=fields.take("sa_pairs", reading.choice(SaPairs), SaPairs.PER_ROUTE),
    )


def read_route(fields: Fields) -> Route:
    """The fields ``local``, ``remote`` and ``direction``."""
    selector = reading.sentence(Selector.parse, "Write a host, a network or a range, such as 10.1.0.0/24")
    return Route(fields.take("local", selector, _UNREAD_SELECTOR, required=True),
                 fields.take("remote", selector, _UNREAD_SELECTOR, required=True),
                 fields.take("direction", reading.choice(Direction), Direction.BOTH))


def _interface(fields: Fields) -> VirtualInterface:
    section = fields.section("interface", ("name", "addresses", "metric"))
    address = reading.sentence(identities.parse_interface_address, "Write such as 169.254.0.1/30")
    return VirtualInterface(section.take("name", reading.name, "", required=True), section.each("addresses", address),
                            section.take("metric", reading.number(0, 2**32 - 1), None))


def referred(fields: Fields, name: str, known: Mapping[str, _Item], usual: tuple[_Item, ...]) -> tuple[_Item, ...]:
    """The items that the list of names under ``name`` refers to, in its order."""
    if name not in fields:
        return usual
    names = fields.each(name, _once(_reference(known, name.removeprefix("shared_").removesuffix("s"))), required=True)
    return tuple(known[item] for item in names)


def _once(parse: Callable[[object], str]) -> Callable[[object], str]:
    """The same parser, for one list in which no name stands twice."""
    seen: set[str] = set()

    def read(value: object) -> str:
        word = parse(value)
        if word in seen:
            raise Misfit("each stands there once", "Remove one of the two", code="duplicate-name")
        seen.add(word)
        return word

    return read


def _reference(known: Collection[str], what: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        word = reading.name(value)
        if word not in known:
            raise reading.unknown_name(word, known, what)
        return word

    return read


def _seconds(low: int, high: int) -> Callable[[object], int]:
    return reading.measured(durations.parse_duration, low, high, durations.format_duration, "a duration")


def key_parser(method: CredentialMethod) -> Callable[[object], Secret]:
    """A parser of keys whose misfits never hold what was written."""

    def read(value: object) -> Secret:
        if method is CredentialMethod.CERTIFICATE:
            return Secret(_pem(value, lambda text: pem.block(text, *pem.PRIVATE_KEYS)).encode())
        if not isinstance(value, str):
            raise Misfit("a pre-shared key is text", "Write it as text, in quotes", code="wrong-type",
                         state="is no text")
        if not value:
            raise Misfit("a pre-shared key has at least one character", "Set the key that both ends share",
                         state="is empty")
        try:
            if method is CredentialMethod.PSK:
                return Secret(value.encode())
            octets = bytes.fromhex(_COLON.sub(" ", value.strip().lower().removeprefix("0x")))
        except ValueError:
            rule = "text" if method is CredentialMethod.PSK else "an even number of hexadecimal digits"
            raise Misfit(f"a key of method {method.value} is {rule}", "Write it so, or change the method",
                         state="is not") from None
        if not octets:
            raise Misfit("a pre-shared key has at least one octet", "Set the key that both ends share",
                         state="is empty")
        return Secret(octets)

    return read


def _pem_block(method: CredentialMethod, field: str, label: str) -> Callable[[object], str]:
    return _of_certificates(method, field, lambda value: _pem(value, lambda text: pem.block(text, label)))


def _pem_blocks(method: CredentialMethod, field: str, label: str) -> Callable[[object], tuple[str, ...]]:
    """A parser of a list of PEM texts, or of one; each may hold several blocks."""
    return _of_certificates(method, field, lambda value: tuple(
        block for text in ([value] if isinstance(value, str) else reading.sequence(value))
        for block in _pem(text, lambda text: pem.blocks(text, label))))


def _of_certificates(method: CredentialMethod, field: str, parse: Callable[[object], _T]) -> Callable[[object], _T]:
    """The parser of a field that only the method certificate has."""

    def read(value: object) -> _T:
        if method is not CredentialMethod.CERTIFICATE:
            raise Misfit(f"method {method.value} has no {field}", f"Remove {field}, or set method to certificate",
                         state="is set")
        return parse(value)

    return read


def _pem(value: object, parse: Callable[[str], _T]) -> _T:
    try:
        return parse(reading.text(value))
    except Misfit:
        raise
    except ValueError as error:
        raise Misfit(str(error), "Write the whole PEM text, such as with lookup('ansible.builtin.file', ...)",
                     state="is not valid") from None


def digest(declaration: Mapping[str, object]) -> str:
    """SHA-256 of a declaration's canonical JSON, in hex."""
    return hashlib.sha256(_canonical(declaration)).hexdigest()


def keyed_digest(secrets: object, key: bytes) -> str:
    """HMAC-SHA-256 of secrets' canonical JSON, in hex: who does not have the key cannot try secrets against it."""
    return hmac.new(key, _canonical(secrets), "sha256").hexdigest()


def _canonical(data: object) -> bytes:
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
