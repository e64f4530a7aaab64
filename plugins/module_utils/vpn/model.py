# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operator declares, as frozen values. ``declaration`` reads them from plain data; ``rules`` judges them.

Durations are seconds, traffic is kilobytes (1024 octets, RFC 2407 §4.5), everywhere.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from enum import Enum

from .algorithms import Authentication, Encryption, KeyEncapsulation, KeyGroup
from .selectors import Address, Network, Selector


class IkeVersion(Enum):
    V1 = 1
    V2 = 2


class Mode(Enum):
    """IKEv1 Phase 1 mode (RFC 2409 §5)."""

    MAIN = "main"
    AGGRESSIVE = "aggressive"
    MAIN_FALLBACK_AGGRESSIVE = "main-fallback-aggressive"


class CredentialMethod(Enum):
    PSK = "psk"
    HEX_PSK = "hex-psk"
    CERTIFICATE = "certificate"


class IdentityKind(Enum):
    """The four kinds of Phase 1 identifier; ``ip-address`` covers both families."""

    IP_ADDRESS = "ip-address"
    DOMAIN_NAME = "domain-name"
    DOMAIN_INFORMATION = "domain-information"
    X500_NAME = "x500-name"


class Start(Enum):
    """When a gateway brings its tunnels up."""

    BOOT = "boot"
    TRAFFIC = "traffic"
    ANSWER = "answer"


class Direction(Enum):
    """Which way traffic may flow on a tunnel route."""

    BOTH = "both"
    LOCAL_TO_REMOTE = "local-to-remote"
    REMOTE_TO_LOCAL = "remote-to-local"

    mirrored: Direction
    """What the other end has to say."""


Direction.BOTH.mirrored = Direction.BOTH
Direction.LOCAL_TO_REMOTE.mirrored = Direction.REMOTE_TO_LOCAL
Direction.REMOTE_TO_LOCAL.mirrored = Direction.LOCAL_TO_REMOTE


class Protocol(Enum):
    """Phase 2 protocol; the values are IANA's IPsec protocol identifiers as RFC 7296 §3.3.1 numbers them."""

    AH = 2
    ESP = 3


class Policy(Enum):
    """What weak algorithms draw: a warning, or an error."""

    STANDARD = "standard"
    STRICT = "strict"


class SaPairs(Enum):
    """How an initiator asks for a tunnel's SAs: a pair for each route, as Fireware does, or one for all of them."""

    PER_ROUTE = "per-route"
    PER_TUNNEL = "per-tunnel"


class DataPlaneChoice(Enum):
    AUTO = "auto"
    KERNEL = "kernel"
    USERSPACE = "userspace"


@dataclass(frozen=True, slots=True)
class Secret:
    """Octets that must appear nowhere: its text forms hide them, its comparison is the caller's duty."""

    octets: bytes = field(repr=False)

    def __str__(self) -> str:
        return "<secret>"


@dataclass(frozen=True, slots=True)
class Transform:
    """A Phase 1 transform. ``sa_life`` is seconds; ``additional_key_exchange`` makes the exchange hybrid (RFC 9370)."""

    name: str
    authentication: Authentication
    encryption: Encryption
    key_group: KeyGroup
    sa_life: int
    additional_key_exchange: KeyEncapsulation | None = None


@dataclass(frozen=True, slots=True)
class Expiration:
    """Force key expiration: seconds, kilobytes, or both; at least one is set."""

    seconds: int | None
    kilobytes: int | None


@dataclass(frozen=True, slots=True)
class Proposal:
    """A Phase 2 proposal. AH has no encryption; an AEAD has no authentication."""

    name: str
    protocol: Protocol
    authentication: Authentication | None
    encryption: Encryption | None
    expiration: Expiration


@dataclass(frozen=True, slots=True)
class Identity:
    kind: IdentityKind
    value: str

    def __str__(self) -> str:
        return self.value

    @property
    def as_yaml(self) -> str:
        """As a declaration has it, in one line."""
        return f"{{type: {self.kind.value}, value: {_scalar(self.value)}}}"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One end of an endpoint pair. ``address`` is None where it is dynamic.

    ``public_address`` is what a NAT before it shows to the outside, where that is declared.
    """

    address: Address | None
    identity: Identity
    public_address: Address | None = None

    @property
    def reached(self) -> Address | None:
        """What peers reach for, None where none can."""
        return self.public_address or self.address


@dataclass(frozen=True, slots=True)
class EndpointPair:
    local: Endpoint
    remote: Endpoint

    def __str__(self) -> str:
        return f"{self.local.address or 'dynamic'} <-> {self.remote.address or 'dynamic'}"


@dataclass(frozen=True, slots=True)
class Ppk:
    """A post-quantum pre-shared key beside the credential (RFC 8784). Both ends know it by ``id``.

    An end for which it is not ``required`` takes a peer without it, too. ``secret`` is None where only its existence is
    known.
    """

    id: str
    required: bool = True
    secret: Secret | None = None


@dataclass(frozen=True, slots=True)
class Credential:
    """``secret`` is the pre-shared key, or the certificate's private key in PEM.

    It is None where only the existence of a key is known (a declaration without its secrets). ``also_accepted`` are
    other pre-shared keys by which the peer may prove itself while the two ends change theirs. ``certificate`` to
    ``crl`` belong to certificates, each one PEM block: the own one, the authorities that the peer's must come from,
    what lies between the own one and its authority, and revocation lists.
    """

    method: CredentialMethod
    secret: Secret | None = None
    certificate: str | None = None
    ca: tuple[str, ...] = ()
    chain: tuple[str, ...] = ()
    crl: tuple[str, ...] = ()
    ppk: Ppk | None = None
    also_accepted: tuple[Secret, ...] = ()

    @property
    def accepted(self) -> tuple[Secret, ...]:
        """The pre-shared keys by which the peer may prove itself, our own first."""
        if self.secret is None or self.method is CredentialMethod.CERTIFICATE:
            return ()
        return (self.secret, *self.also_accepted)


@dataclass(frozen=True, slots=True)
class DeadPeerDetection:
    """``idle`` seconds without traffic from the peer before it is asked, ``retries`` before it is dead."""

    idle: int = 20
    retries: int = 5


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """IKE keep-alive (IKEv1, between two gateways of the same make): seconds between messages, failures allowed."""

    interval: int = 30
    failures: int = 5


@dataclass(frozen=True, slots=True)
class Gateway:
    """Phase 1 with one peer. ``nat_keep_alive`` is seconds; ``mode`` and ``keep_alive`` belong to IKEv1."""

    name: str
    version: IkeVersion
    credential: Credential
    endpoints: tuple[EndpointPair, ...]
    transforms: tuple[Transform, ...]
    mode: Mode | None = None
    nat_traversal: bool = True
    nat_keep_alive: int = 20
    dead_peer_detection: DeadPeerDetection | None = DeadPeerDetection()
    keep_alive: KeepAlive | None = None
    start: Start = Start.BOOT

    @property
    def method(self) -> CredentialMethod:
        return self.credential.method

    def pairs_between(self, local: Address, remote: Address) -> tuple[EndpointPair, ...]:
        """The endpoint pairs by which a peer at the address ``remote`` may reach us at ``local``."""
        return tuple(pair for pair in self.endpoints
                     if pair.local.address in (None, local) and pair.remote.address in (None, remote))

    @property
    def shares_transforms(self) -> bool:
        """Whether its Phase 1 transforms are those that a site's IKEv2 peers with a dynamic address share."""
        return self.version is IkeVersion.V2 and any(pair.remote.address is None for pair in self.endpoints)


@dataclass(frozen=True, slots=True)
class Route:
    """A tunnel route: the Phase 2 identifiers, always a pair."""

    local: Selector
    remote: Selector
    direction: Direction = Direction.BOTH

    @property
    def mirrored(self) -> Route:
        return Route(self.remote, self.local, self.direction.mirrored)

    @property
    def is_mixed(self) -> bool:
        """Whether its sides are of different address families, which no SA carries."""
        return self.local.version != self.remote.version

    @property
    def common(self) -> Selector | None:
        """What both its sides contain, where neither is everything: such traffic has no one way."""
        everything = self.local.is_everything or self.remote.is_everything
        return None if everything else self.local.intersection(self.remote)

    @property
    def is_wrong(self) -> bool:
        """Whether it cannot be what was meant, whatever the peer declares."""
        return self.is_mixed or self.common is not None

    @property
    def is_everything(self) -> bool:
        """Whether both its sides are: what SAs of a tunnel with an interface are for."""
        return self.local.is_everything and self.remote.is_everything

    @property
    def as_yaml(self) -> str:
        """As a declaration has it, in one line; a direction that is the usual one need not be said."""
        direction = "" if self.direction is Direction.BOTH else f", direction: {self.direction.value}"
        return f"{{local: {_scalar(str(self.local))}, remote: {_scalar(str(self.remote))}{direction}}}"

    def __str__(self) -> str:
        arrow = {Direction.BOTH: "<->", Direction.LOCAL_TO_REMOTE: "->", Direction.REMOTE_TO_LOCAL: "<-"}
        return f"{self.local} {arrow[self.direction]} {self.remote}"


_EVERYTHING = tuple(Route(Selector.parse(everything), Selector.parse(everything))
                    for everything in ("0.0.0.0/0", "::/0"))


@dataclass(frozen=True, slots=True)
class VirtualInterface:
    """A route-based tunnel's interface. Each address has its prefix length (``169.254.0.1/30``)."""

    name: str
    addresses: tuple[str, ...] = ()
    metric: int | None = None


@dataclass(frozen=True, slots=True)
class Tunnel:
    """Phase 2: routes secured under one gateway.

    ``pfs`` is the key group of Perfect Forward Secrecy, or None; ``additional_key_exchange`` stands beside it.
    With an ``interface`` the SA's selectors are everything and the routes, if any, lead into the interface.
    """

    name: str
    gateway: str
    routes: tuple[Route, ...]
    proposals: tuple[Proposal, ...]
    pfs: KeyGroup | None
    dataplane: DataPlaneChoice = DataPlaneChoice.AUTO
    interface: VirtualInterface | None = None
    additional_key_exchange: KeyEncapsulation | None = None
    sa_pairs: SaPairs = SaPairs.PER_ROUTE

    @property
    def secured(self) -> tuple[Route, ...]:
        """What SAs are negotiated for: the routes; with an interface everything of IPv4, and of IPv6 where an address
        or a route of it is that."""
        if self.interface is None:
            return self.routes
        versions = {route.remote.version for route in self.routes}
        versions |= {6 if ":" in address else 4 for address in self.interface.addresses}
        return _EVERYTHING if 6 in versions else _EVERYTHING[:1]

    @property
    def shares_sa_pairs(self) -> bool:
        """An interface has one SA pair, as Fireware's have."""
        return self.sa_pairs is SaPairs.PER_TUNNEL or self.interface is not None


@dataclass(frozen=True, slots=True)
class Platform:
    """What a side runs on: ``linux`` or an appliance's model, with its firmware version where it has one."""

    model: str = "linux"
    firmware: str | None = None

    @property
    def is_linux(self) -> bool:
        return self.model == "linux"


@dataclass(frozen=True, slots=True)
class Side:
    """One site's whole declaration.

    ``managed`` says that ikeengine runs there. ``shared_transforms`` are those of its dynamic IKEv2 peers, empty where
    none are declared. ``transforms`` and ``proposals`` are all that stand in the declaration, used or not; what is in
    force hangs on the gateways and tunnels, so these two count for nothing in comparisons.
    """

    name: str
    gateways: tuple[Gateway, ...] = ()
    tunnels: tuple[Tunnel, ...] = ()
    platform: Platform = Platform()
    managed: bool = True
    policy: Policy = Policy.STANDARD
    shared_transforms: tuple[Transform, ...] = ()
    transforms: tuple[Transform, ...] = field(default=(), compare=False)
    proposals: tuple[Proposal, ...] = field(default=(), compare=False)
    _by_name: dict[str, Gateway] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_name", {row.name: row for row in self.gateways})

    def gateway(self, name: str) -> Gateway:
        """Raises KeyError."""
        return self._by_name[name]

    def tunnels_by_gateway(self) -> dict[str, tuple[Tunnel, ...]]:
        """The tunnels of each gateway that has some."""
        found: dict[str, tuple[Tunnel, ...]] = {}
        for tunnel in self.tunnels:
            others = found.get(tunnel.gateway)
            found[tunnel.gateway] = (tunnel,) if others is None else (*others, tunnel)
        return found

    def tunnels_of(self, gateway: str) -> tuple[Tunnel, ...]:
        return tuple(tunnel for tunnel in self.tunnels if tunnel.gateway == gateway)


_PLAIN = re.compile(r"([a-z][\w/@-]*|\w[\w/@-]*\.[\w/@-]+)(\.[\w/@-]+)+", re.ASCII | re.IGNORECASE)
"""With a letter first or two dots it is no number, and no character means anything to YAML."""


def _scalar(text: str) -> str:
    """The text in flow YAML, in quotes where it would be taken for something else."""
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


__all__ = [
    "Address", "Credential", "CredentialMethod", "DataPlaneChoice", "DeadPeerDetection", "Direction", "Endpoint",
    "EndpointPair", "Expiration", "Gateway", "Identity", "IdentityKind", "IkeVersion", "KeepAlive", "Mode", "Network",
    "Platform", "Policy", "Ppk", "Proposal", "Protocol", "Route", "SaPairs", "Secret", "Selector", "Side", "Start",
    "Transform", "Tunnel", "VirtualInterface",
]
