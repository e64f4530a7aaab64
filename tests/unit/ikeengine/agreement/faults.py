# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults: each makes two ends that agree differ in one thing, and says what is then to be read of it."""

from __future__ import annotations

import copy
import ipaddress
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ikeengine.vpn import algorithms
from ikeengine.vpn.model import CredentialMethod, Direction, IdentityKind, IkeVersion, Mode, Protocol

from . import declarations
from .declarations import Both, Data, add_tunnel, mirrored, names
from .differences import behind_nat


@dataclass(frozen=True)
class Fault:
    """``code`` is the finding's, ``beside`` are others that may stand with or for it. ``reason`` is a pattern of what
    one of the daemons says, or None where they have nothing to refuse and so nothing to say. ``version`` is the IKE
    version of the two ends that it is planted in, None where either will do."""

    kind: str
    code: str
    reason: str | None
    beside: frozenset[str]
    version: IkeVersion | None
    plant: Callable[[random.Random, Both, Data], None]


FAULTS: list[Fault] = []


def _fault(code: str, reason: str | None, *beside: str, version: IkeVersion | None = None,
           ) -> Callable[[Callable[[random.Random, Both, Data], None]], None]:
    """Its kind is the name of the function, which bends the end that it is given against the other one."""

    def register(plant: Callable[[random.Random, Both, Data], None]) -> None:
        FAULTS.append(Fault(plant.__name__.replace("_", " "), code, reason, frozenset(beside), version,
                            plant))

    return register


def _gateway(end: Data) -> Data:
    return end["gateways"][0]  # type: ignore[no-any-return]


def _endpoint(end: Data, place: str) -> Data:
    return _gateway(end)["endpoints"][0][place]  # type: ignore[no-any-return]


# ------------------------------------------------------------------------------------------------ version and mode

def _with_nat_traversal(both: Both) -> None:
    for end in both.ends:
        _gateway(end).pop("nat_traversal", None)


def _modes(both: Both, end: Data, mode: Mode, other: Mode) -> None:
    """Of both ends, with one key group, which Aggressive Mode needs."""
    _fewer_transforms(both, 1)
    _gateway(end)["mode"], _gateway(both.other(end))["mode"] = mode.value, other.value


@_fault("ike-version-differs", "IKE version", version=IkeVersion.V1)
def another_version(draw: random.Random, both: Both, end: Data) -> None:
    gateway = _gateway(end)
    gateway["ike_version"] = IkeVersion.V2.value
    for field in ("mode", "ike_keep_alive", "nat_traversal"):
        gateway.pop(field, None)


@_fault("mode-differs", "mode", version=IkeVersion.V1)
def another_mode(draw: random.Random, both: Both, end: Data) -> None:
    _with_known_addresses(both)
    _modes(both, end, Mode.MAIN, Mode.AGGRESSIVE)


@_fault("main-mode-agreed-needs-static-peer", "mode", version=IkeVersion.V1)
def falling_back_from_main_with_a_dynamic_peer(draw: random.Random, both: Both, end: Data) -> None:
    """The one that could fall back never initiates, since it does not know where to."""
    _with_known_addresses(both)
    _both_keys(both, CredentialMethod.PSK, "correct horse battery staple 7151")
    for row in both.ends:
        for place, name in (("local", "one"), ("remote", "other")):
            value = f"{name if row is end else {'one': 'other', 'other': 'one'}[name]}.example.net"
            _endpoint(row, place)["identifier"] = {"type": "domain-name", "value": value}
    _modes(both, end, Mode.MAIN_FALLBACK_AGGRESSIVE, Mode.MAIN)
    _endpoint(end, "remote")["address"] = "dynamic"
    _gateway(both.other(end))["start"] = "boot"


@_fault("nat-traversal-differs", None, version=IkeVersion.V1)
def nat_traversal_at_one_end(draw: random.Random, both: Both, end: Data) -> None:
    _with_known_addresses(both)
    _gateway(end)["nat_traversal"] = {"enabled": False}
    _gateway(both.other(end)).pop("nat_traversal", None)


@_fault("keep-alive-differs", None, version=IkeVersion.V1)
def keep_alive_at_one_end(draw: random.Random, both: Both, end: Data) -> None:
    _gateway(end)["ike_keep_alive"] = {"enabled": True}
    _gateway(both.other(end)).pop("ike_keep_alive", None)


# ------------------------------------------------------------------------------------------------ credential

def _both_keys(both: Both, method: CredentialMethod, key: str) -> None:
    for end in both.ends:
        _gateway(end)["credential"] = {"method": method.value, "psk": key}


@_fault("psk-differs", "pre-shared key")
def another_psk(draw: random.Random, both: Both, end: Data) -> None:
    _both_keys(both, CredentialMethod.PSK, "correct horse battery staple 7151")
    _gateway(end)["credential"]["psk"] = draw.choice(("Correct horse battery staple 7151", "quite another secret 4212"))


@_fault("psk-differs", "pre-shared key")
def psk_with_the_end_of_a_line(draw: random.Random, both: Both, end: Data) -> None:
    _both_keys(both, CredentialMethod.PSK, "correct horse battery staple 7151")
    _gateway(end)["credential"]["psk"] += draw.choice(("\n", " ", "\r\n"))


@_fault("psk-differs", "pre-shared key")
def another_hex_psk(draw: random.Random, both: Both, end: Data) -> None:
    _both_keys(both, CredentialMethod.HEX_PSK, draw.randbytes(32).hex())
    _gateway(end)["credential"]["psk"] = draw.randbytes(32).hex()


@_fault("credential-method-differs", "pre-shared key")
def hex_digits_taken_for_text(draw: random.Random, both: Both, end: Data) -> None:
    _both_keys(both, CredentialMethod.HEX_PSK, draw.randbytes(24).hex())
    _gateway(end)["credential"]["method"] = CredentialMethod.PSK.value


@_fault("credential-method-differs", None)
def text_and_its_octets_in_hexadecimal(draw: random.Random, both: Both, end: Data) -> None:
    key = "correct horse battery staple 7151"
    _both_keys(both, CredentialMethod.PSK, key)
    _gateway(end)["credential"] = {"method": CredentialMethod.HEX_PSK.value, "psk": key.encode().hex()}


@_fault("credential-method-differs", "credential: the peer .* (has a (certificate|pre-shared key)|offers|announces)")
def a_certificate_at_one_end(draw: random.Random, both: Both, end: Data) -> None:
    _both_keys(both, CredentialMethod.PSK, "correct horse battery staple 7151")
    _gateway(end)["credential"] = {"method": CredentialMethod.CERTIFICATE.value}


def _both_ppks(draw: random.Random, both: Both, end: Data, *, required: bool) -> Data:
    """Give both ends one post-quantum pre-shared key, which the end, or no end, requires; returns the end's."""
    key = f"0x{draw.randbytes(32).hex()}"
    for row in both.ends:
        _gateway(row)["credential"] |= {"ppk": {"id": "qkd-1", "required": required and row is end}, "ppk_key": key}
    return _gateway(end)["credential"]  # type: ignore[no-any-return]


_PPK = "post-quantum pre-shared key"


@_fault("ppk-identity-differs", _PPK, version=IkeVersion.V2)
def ppk_required_at_one_end(draw: random.Random, both: Both, end: Data) -> None:
    _both_ppks(draw, both, end, required=True)
    for field in ("ppk", "ppk_key"):
        del _gateway(both.other(end))["credential"][field]


@_fault("ppk-identity-differs", _PPK, version=IkeVersion.V2)
def another_ppk_identity(draw: random.Random, both: Both, end: Data) -> None:
    _both_ppks(draw, both, end, required=True)["ppk"]["id"] = "qkd-2"


@_fault("ppk-differs", _PPK, version=IkeVersion.V2)
def another_ppk(draw: random.Random, both: Both, end: Data) -> None:
    _both_ppks(draw, both, end, required=draw.random() < 0.5)["ppk_key"] = f"0x{draw.randbytes(32).hex()}"


# ------------------------------------------------------------------------------------------------ identifiers

def _another(draw: random.Random, end: Data, place: str) -> None:
    """Another value of the same kind."""
    identifier = _endpoint(end, place)["identifier"]
    if identifier["type"] == IdentityKind.IP_ADDRESS.value:
        identifier["value"] = draw.choice(("203.0.113.9", "2001:db8:9::9"))
    else:
        identifier["value"] = identifier["value"].replace("example.net", "example.org")


def _another_type(draw: random.Random, end: Data, place: str) -> None:
    identifier = _endpoint(end, place)["identifier"]
    kinds = [kind for kind in tuple(IdentityKind) if kind.value != identifier["type"]]
    address = _endpoint(end, place)["address"]
    _endpoint(end, place)["identifier"] = declarations.identifier(
        draw, "other", "203.0.113.9" if address == "dynamic" else address, draw.choice(kinds))


@_fault("identity-does-not-mirror", "identif", "far-end-has-no-gateway")
def another_identifier_presented(draw: random.Random, both: Both, end: Data) -> None:
    _another(draw, end, "local")


@_fault("identity-does-not-mirror", "identif", "far-end-has-no-gateway")
def another_identifier_expected(draw: random.Random, both: Both, end: Data) -> None:
    _another(draw, end, "remote")


@_fault("identity-does-not-mirror", "identif", "far-end-has-no-gateway")
def another_type_presented(draw: random.Random, both: Both, end: Data) -> None:
    _another_type(draw, end, "local")


@_fault("identity-does-not-mirror", "identif", "far-end-has-no-gateway")
def another_type_expected(draw: random.Random, both: Both, end: Data) -> None:
    _another_type(draw, end, "remote")


@_fault("identity-does-not-mirror", "identif")
def same_text_of_another_type(draw: random.Random, both: Both, end: Data) -> None:
    """An address in words is a domain name to nobody, so this is about the two kinds that hold a domain."""
    for place in (_endpoint(end, "local"), _endpoint(both.other(end), "remote")):
        place["identifier"] = {"type": "domain-name", "value": "gw.example.net"}
    _endpoint(end, "local")["identifier"] = {"type": "domain-information", "value": "gw@example.net"}


@_fault("identity-does-not-mirror", "identif")
def another_case_of_the_user(draw: random.Random, both: Both, end: Data) -> None:
    """The domain of user@domain has no case, the user has (RFC 5321 §2.4)."""
    for place in (_endpoint(end, "local"), _endpoint(both.other(end), "remote")):
        place["identifier"] = {"type": "domain-information", "value": "gw@example.net"}
    _endpoint(end, "local")["identifier"]["value"] = "GW@example.net"


@_fault("identity-does-not-mirror", "identif", "far-end-has-no-gateway")
def identifiers_exchanged(draw: random.Random, both: Both, end: Data) -> None:
    """Both ends say the same of local and remote: beside further peers nothing may tell which is meant behind a NAT."""
    for row in both.ends:
        for place in ("local", "remote"):
            _endpoint(row, place)["identifier"] = {"type": "domain-name", "value": f"{place}.example.net"}


@_fault("identity-does-not-mirror", "identif", "far-end-has-no-gateway")
def address_as_identifier_behind_nat(draw: random.Random, both: Both, end: Data) -> None:
    """The left end has never heard of it, so beside further peers it cannot be told which of them is meant."""
    _with_known_addresses(both)
    for place, octets in (("local", "198.51.100.7"), ("remote", "192.0.2.7")):
        for row, where in ((both.right, place), (both.left, "remote" if place == "local" else "local")):
            _gateway(row)["endpoints"][0][where] = {
                "address": octets, "identifier": {"type": "ip-address", "value": octets}}
    both.public = None
    _with_esp(both)
    _with_nat_traversal(both)
    behind_nat(draw, both, end)
    local = _endpoint(both.right, "local")
    local["identifier"]["value"] = local["address"]


# ------------------------------------------------------------------------------------------------ endpoints, start

def _with_known_addresses(both: Both) -> None:
    """Of a private address nobody can say what a NAT makes of it, nor what a dynamic one is."""
    if both.public:
        _endpoint(both.right, "local")["address"], both.public = both.public, None
    for name, end in (("left", both.left), ("right", both.right)):
        local = _endpoint(end, "local")
        local["address"] = both.addresses.pop(name, local["address"])
    for end in both.ends:
        remote = _endpoint(end, "remote")
        if remote["address"] == "dynamic":
            remote["address"] = _endpoint(both.other(end), "local")["address"]


def _elsewhere(address: str) -> str:
    return "2001:db8:9::9" if ":" in address else "203.0.113.9"


@_fault("endpoint-address-does-not-mirror", "is silent|no gateway is declared")
def another_address_reached_for(draw: random.Random, both: Both, end: Data) -> None:
    _with_known_addresses(both)
    remote = _endpoint(end, "remote")
    remote["address"] = _elsewhere(remote["address"])


@_fault("endpoint-address-does-not-mirror", "is silent|no gateway is declared")
def another_address_of_its_own(draw: random.Random, both: Both, end: Data) -> None:
    _with_known_addresses(both)
    local = _endpoint(end, "local")
    local["address"] = _elsewhere(local["address"])


def _further_pair(end: Data, number: int) -> Data:
    """Under the identifiers of the first, which a certificate may be for."""
    version6 = ":" in _endpoint(end, "local")["address"]
    return {place: {**_endpoint(end, place), "address": f"2001:db8:8::{side}{number}" if version6
                    else f"203.0.113.{side}{number}"} for side, place in ((1, "local"), (2, "remote"))}


@_fault("endpoint-pairs-differ", "is silent|no gateway is declared")
def one_pair_more(draw: random.Random, both: Both, end: Data) -> None:
    _with_known_addresses(both)
    _gateway(end)["endpoints"].append(_further_pair(end, 1))


@_fault("endpoint-order-differs", None)
def pairs_in_another_order(draw: random.Random, both: Both, end: Data) -> None:
    _with_known_addresses(both)
    for number in range(draw.choice((1, 2))):
        row = _further_pair(end, number)
        _gateway(end)["endpoints"].append(row)
        _gateway(both.other(end))["endpoints"].append(mirrored(copy.deepcopy(row)))
    _gateway(end)["endpoints"].reverse()


@_fault("far-end-has-no-gateway", "no gateway is declared")
def far_end_has_other_peers_only(draw: random.Random, both: Both, end: Data) -> None:
    """Behind those are other networks, else the two would be taken for peers that differ in their addresses."""
    _with_known_addresses(both)
    (gateway,) = end["gateways"]
    version6 = ":" in _endpoint(end, "local")["address"]
    end["gateways"] = [
        {**gateway, "name": f"peer{number}", "start": "answer", "endpoints": [{
            "local": gateway["endpoints"][0]["local"],
            "remote": {"address": f"2001:db8:9::{number}" if version6 else f"203.0.113.{number}"}}]}
        for number in (1, 2)]
    for number, tunnel in enumerate(end["tunnels"]):
        tunnel["gateway"] = "peer1"
        if "interface" not in tunnel:
            tunnel["routes"] = [{"local": "10.1.0.0/24", "remote": f"10.9.{number}.0/24"}]
    _gateway(both.other(end))["start"] = "boot"


@_fault("far-end-declared-nowhere", "is silent")
def neither_end_knows_of_the_other(draw: random.Random, both: Both, end: Data) -> None:
    """The one reaches for a peer that is not there, the other is somebody else's."""
    _with_known_addresses(both)
    gateway = _gateway(end)
    gateway["name"] = "elsewhere"
    for tunnel in end["tunnels"]:
        tunnel["gateway"] = "elsewhere"
    for place, number in (("local", 1), ("remote", 2)):
        address = f"2001:db8:9::{number}" if ":" in _endpoint(end, "local")["address"] else f"203.0.113.{number}"
        gateway["endpoints"][0][place] = {"address": address, "identifier": {"type": "ip-address", "value": address}}


@_fault("nobody-initiates", None)
def both_only_answer(draw: random.Random, both: Both, end: Data) -> None:
    for row in both.ends:
        _gateway(row)["start"] = "answer"


@_fault("gateway-declared-twice", "tunnel route", "far-end-has-no-gateway", "tunnel-without-counterpart")
def gateway_split_in_two(draw: random.Random, both: Both, end: Data) -> None:
    """Half of the tunnels under a second gateway of the same endpoints."""
    _with_known_addresses(both)
    _with_tunnels(draw, both, 2)
    end["gateways"].append({**copy.deepcopy(_gateway(end)), "name": "second"})
    end["tunnels"][-1]["gateway"] = "second"


# ------------------------------------------------------------------------------------------------ Phase 1

def _replaced(draw: random.Random, rows: Sequence[Data], others: Sequence[Data], field: str,
              able: Sequence[object]) -> None:
    """One value of a member in all rows, which no row of the others has."""
    value = draw.choice([value for value in able if value not in {row.get(field) for row in others}])
    for row in rows:
        row[field] = value


@_fault("phase1-no-common-transform", "encryption")
def no_common_encryption_in_phase_1(draw: random.Random, both: Both, end: Data) -> None:
    _fewer_transforms(both, 3)
    _standard(both)
    _replaced(draw, end["transforms"], both.other(end)["transforms"], "encryption",
              [row.name for row in declarations.able(end, algorithms.ENCRYPTIONS)])


@_fault("phase1-no-common-transform", "authentication|PRF")
def no_common_authentication_in_phase_1(draw: random.Random, both: Both, end: Data) -> None:
    _fewer_transforms(both, 3)
    _standard(both)
    _replaced(draw, end["transforms"], both.other(end)["transforms"], "authentication",
              [row.name for row in algorithms.AUTHENTICATIONS])


@_fault("phase1-no-common-transform", "key group")
def no_common_key_group_in_phase_1(draw: random.Random, both: Both, end: Data) -> None:
    _fewer_transforms(both, 3)
    _standard(both)
    _replaced(draw, end["transforms"], both.other(end)["transforms"], "key_group",
              [row.number for row in declarations.able(end, algorithms.KEY_GROUPS)])


@_fault("phase1-no-common-transform", "additional key exchange", version=IkeVersion.V2)
def no_common_additional_key_exchange_in_phase_1(draw: random.Random, both: Both, end: Data) -> None:
    one, another = draw.sample(["none", *(row.name for row in algorithms.KEY_ENCAPSULATIONS)], 2)
    for row, value in ((end, one), (both.other(end), another)):
        for transform in row["transforms"]:
            transform["additional_key_exchange"] = value


@_fault("phase1-no-common-transform", "encryption|authentication|PRF")
def members_of_different_transforms(draw: random.Random, both: Both, end: Data) -> None:
    """Every member has its like at the other end, no transform has."""
    ciphers, hashes = ["AES-128", "AES-256"], ["SHA2-256", "SHA2-512"]
    for row, authentications in ((end, hashes), (both.other(end), hashes[::-1])):
        row["transforms"] = [{"name": f"c{number}", "encryption": cipher, "authentication": authentication,
                              "key_group": 19} for number, (cipher, authentication)
                             in enumerate(zip(ciphers, authentications, strict=True))]
        _gateway(row)["transforms"] = names(row["transforms"])


@_fault("phase1-sa-life-differs", None)
def another_sa_life(draw: random.Random, both: Both, end: Data) -> None:
    for transform in end["transforms"]:
        transform["sa_life"] = "7h"


def _fewer_transforms(both: Both, most: int) -> None:
    """So few that a member is left which none of them has."""
    for end in both.ends:
        del end["transforms"][most:]
        _gateway(end)["transforms"] = [name for name in _gateway(end)["transforms"] if name in names(end["transforms"])]


def _standard(both: Both) -> None:
    for end in both.ends:
        end["policy"] = "standard"


# ------------------------------------------------------------------------------------------------ Phase 2

def _tunnel(draw: random.Random, both: Both, end: Data, *, with_routes: bool = False) -> tuple[Data, Data]:
    """One tunnel of that end, and its counterpart; ``with_routes`` is one that is about these alone."""
    tunnel = draw.choice([row for row in end["tunnels"] if "interface" not in row or not with_routes])
    return tunnel, next(row for row in both.other(end)["tunnels"] if row["name"] == tunnel["name"])


_AH: Data = {"protocol": "AH", "authentication": "SHA2-256"}


def _with_esp(both: Both) -> None:
    """In all tunnels: a NAT lies between the ends."""
    for end in both.ends:
        for tunnel in end["tunnels"]:
            if declarations.protocol_of(end, tunnel) is Protocol.AH:
                _own_proposals(both, tunnel, [{"encryption": "AES-GCM-256"}], end)


def _own_proposals(both: Both, tunnel: Data, rows: Sequence[Data], end: Data) -> list[Data]:
    """Give the tunnel these alone."""
    kept = [row for row in end["proposals"] if row["name"] not in tunnel["proposals"]]
    own = [{**row, "name": f"{tunnel['name']}-x{number}", "force_key_expiration": {"time": "8h"}}
           for number, row in enumerate(rows)]
    tunnel["proposals"], end["proposals"] = names(own), kept + own
    return own


@_fault("phase2-no-common-proposal", "encryption")
def no_common_encryption_in_phase_2(draw: random.Random, both: Both, end: Data) -> None:
    tunnel, others = _tunnel(draw, both, end)
    row, other = ({"encryption": name} for name in draw.sample(
        [row.name for row in declarations.able(end, algorithms.ENCRYPTIONS, phase=2) if row.aead], 2))
    _own_proposals(both, tunnel, [row], end)
    _own_proposals(both, others, [other], both.other(end))


@_fault("phase2-no-common-proposal", "encryption|authentication")
def aead_against_its_like_with_a_hash(draw: random.Random, both: Both, end: Data) -> None:
    tunnel, others = _tunnel(draw, both, end)
    _own_proposals(both, tunnel, [{"encryption": "AES-GCM-256"}], end)
    _own_proposals(both, others, [{"encryption": "AES-256", "authentication": "SHA2-256"}], both.other(end))


@_fault("phase2-no-common-proposal", "authentication")
def no_common_authentication_in_phase_2(draw: random.Random, both: Both, end: Data) -> None:
    _standard(both)
    tunnel, others = _tunnel(draw, both, end)
    one, another = draw.sample([row.name for row in algorithms.AUTHENTICATIONS], 2)
    _own_proposals(both, tunnel, [{"encryption": "AES-192", "authentication": one}], end)
    _own_proposals(both, others, [{"encryption": "AES-192", "authentication": another}], both.other(end))


@_fault("phase2-no-common-proposal", "encryption|authentication")
def members_of_different_proposals(draw: random.Random, both: Both, end: Data) -> None:
    tunnel, others = _tunnel(draw, both, end)
    ciphers, hashes = ["AES-128", "AES-256"], ["SHA2-256", "SHA2-512"]
    for row, place, authentications in ((tunnel, end, hashes), (others, both.other(end), hashes[::-1])):
        _own_proposals(both, row, [{"encryption": cipher, "authentication": authentication}
                                   for cipher, authentication in zip(ciphers, authentications, strict=True)], place)


@_fault("phase2-protocol-differs", "protocol")
def ah_against_esp(draw: random.Random, both: Both, end: Data) -> None:
    _with_known_addresses(both)
    tunnel, others = _tunnel(draw, both, end)
    _own_proposals(both, tunnel, [_AH], end)
    _own_proposals(both, others, [{"encryption": "AES-128", "authentication": "SHA2-256"}], both.other(end))


@_fault("ah-through-nat", "a NAT lies between")
def ah_with_a_nat_between(draw: random.Random, both: Both, end: Data) -> None:
    """Both ends have it, and the one knows the other by another address: private ones, which do not show it."""
    _with_known_addresses(both)
    for place, octets in (("local", "10.8.0.7"), ("remote", "10.9.0.7")):
        for row, where in ((both.right, place), (both.left, "remote" if place == "local" else "local")):
            _endpoint(row, where).update(address=octets, identifier={
                "type": "domain-name", "value": f"{'right' if place == 'local' else 'left'}.example.net"})
    both.public = None
    _with_esp(both)
    _with_nat_traversal(both)
    behind_nat(draw, both, end)
    tunnel, others = _tunnel(draw, both, end)
    _own_proposals(both, tunnel, [_AH], end)
    _own_proposals(both, others, [_AH], both.other(end))


@_fault("phase2-key-expiration-differs", None)
def another_key_expiration(draw: random.Random, both: Both, end: Data) -> None:
    tunnel, _others = _tunnel(draw, both, end)
    other = draw.choice(({"time": "7h"}, {"traffic": "64000 kB"}, {"time": "7h", "traffic": "64000 kB"}))
    for row in declarations.proposals_of(end, tunnel):
        row["force_key_expiration"] = other


@_fault("pfs-differs", "PFS|key group")
def pfs_at_one_end(draw: random.Random, both: Both, end: Data) -> None:
    _standard(both)
    tunnel, others = _tunnel(draw, both, end)
    group = declarations.group(draw, end).number
    tunnel["pfs"], others["pfs"] = {"enabled": False}, {"enabled": True, "key_group": group}


@_fault("pfs-group-differs", "PFS|key group")
def another_pfs_group(draw: random.Random, both: Both, end: Data) -> None:
    _standard(both)
    tunnel, others = _tunnel(draw, both, end)
    one, another = draw.sample([row.number for row in declarations.able(end, algorithms.KEY_GROUPS)], 2)
    tunnel["pfs"], others["pfs"] = ({"enabled": True, "key_group": number} for number in (one, another))


@_fault("pfs-additional-key-exchange-differs", "additional key exchange", version=IkeVersion.V2)
def another_additional_key_exchange_of_pfs(draw: random.Random, both: Both, end: Data) -> None:
    one, another = draw.sample(["none", *(row.name for row in algorithms.KEY_ENCAPSULATIONS)], 2)
    for tunnel, value in zip(_tunnel(draw, both, end), (one, another), strict=True):
        tunnel["pfs"] = {"enabled": True, "key_group": 31, "additional_key_exchange": value}


# ------------------------------------------------------------------------------------------------ routes, tunnels

def _route(draw: random.Random, both: Both, end: Data, local: str, remote: str) -> tuple[Data, Data, Data]:
    """A further route of one tunnel, at both ends; it at that end, its mirror, and the tunnel."""
    tunnel, others = _tunnel(draw, both, end, with_routes=True)
    row = {"local": local, "remote": remote}
    tunnel["routes"].append(row)
    others["routes"].append(mirrored(row))
    return row, others["routes"][-1], tunnel


_NETWORKS = (("10.77.0.0/24", "10.88.0.0/24"), ("fd77::/64", "fd88::/64"))


@_fault("route-missing-mirror", "tunnel route")
def route_missing(draw: random.Random, both: Both, end: Data) -> None:
    _row, _mirror, tunnel = _route(draw, both, end, *draw.choice(_NETWORKS))
    tunnel["routes"].pop()


@_fault("route-missing-mirror", "tunnel route")
def route_elsewhere(draw: random.Random, both: Both, end: Data) -> None:
    row, _mirror, _tunnel = _route(draw, both, end, *_NETWORKS[0])
    row[draw.choice(("local", "remote"))] = "10.99.0.0/24"


@_fault("route-missing-mirror", "tunnel route")
def route_not_turned_round(draw: random.Random, both: Both, end: Data) -> None:
    """Both ends say the same of local and remote."""
    row, _mirror, _tunnel = _route(draw, both, end, *draw.choice(_NETWORKS))
    row["local"], row["remote"] = row["remote"], row["local"]


def _narrower(draw: random.Random, text: str) -> str:
    network = ipaddress.ip_network(text)
    first = network[draw.randint(1, 100)]
    return draw.choice((str(first), f"{first}-{first + draw.randint(1, 100)}",
                        f"{network[128]}/{network.max_prefixlen - 7}"))


@_fault("route-narrower", "installed .* declared|tunnel route")
def narrower_local(draw: random.Random, both: Both, end: Data) -> None:
    row, _mirror, _tunnel = _route(draw, both, end, *draw.choice(_NETWORKS))
    row["local"] = _narrower(draw, row["local"])


@_fault("route-narrower", "installed .* declared|tunnel route")
def narrower_remote(draw: random.Random, both: Both, end: Data) -> None:
    row, _mirror, _tunnel = _route(draw, both, end, *draw.choice(_NETWORKS))
    row["remote"] = _narrower(draw, row["remote"])


@_fault("route-narrower", "installed .* declared|tunnel route")
def everything_against_a_network(draw: random.Random, both: Both, end: Data) -> None:
    """A route to everywhere at one end, and only the other's own network at the other."""
    row, _mirror, _tunnel = _route(draw, both, end, *_NETWORKS[0])
    _without_default_routes(both)
    row["remote"] = "0.0.0.0/0"


def _without_default_routes(both: Both) -> None:
    for route in [route for end in both.ends for tunnel in end["tunnels"] for route in tunnel["routes"]]:
        for one, other in (("local", "remote"), ("remote", "local")):
            if route[one] == "0.0.0.0/0":
                route[one] = f"10.1.{route[other].split('.')[2]}.0/24"


@_fault("route-overlaps", "installed .* declared|tunnel route")
def overlapping_ranges(draw: random.Random, both: Both, end: Data) -> None:
    row, _mirror, _tunnel = _route(draw, both, end, "10.77.0.1-10.77.0.100", "10.88.0.0/24")
    row["local"] = f"10.77.0.{draw.randint(2, 100)}-10.77.0.{draw.randint(101, 254)}"


@_fault("route-overlaps", "installed .* declared|tunnel route")
def each_side_narrower_at_another_end(draw: random.Random, both: Both, end: Data) -> None:
    row, mirror, _tunnel = _route(draw, both, end, *draw.choice(_NETWORKS))
    row["local"], mirror["local"] = _narrower(draw, row["local"]), _narrower(draw, mirror["local"])


def _with_tunnels(draw: random.Random, both: Both, number: int) -> None:
    while len(both.left["tunnels"]) < number:
        index = len(both.left["tunnels"])
        left = add_tunnel(draw, both.left, f"lan{index}", [declarations.route(draw, 200 + index, 6)],
                          (Protocol.ESP,) if both.public else tuple(Protocol))
        own = copy.deepcopy(declarations.proposals_of(both.left, left))
        both.right["proposals"] += own
        both.right["tunnels"].append({**copy.deepcopy(left), "gateway": _gateway(both.right)["name"],
                                      "routes": [mirrored(row) for row in left["routes"]]})


@_fault("tunnel-without-counterpart", "tunnel route")
def tunnel_missing(draw: random.Random, both: Both, end: Data) -> None:
    _with_tunnels(draw, both, 2)
    end["tunnels"].remove(draw.choice(end["tunnels"]))


@_fault("tunnel-without-counterpart", "tunnel route")
def no_tunnel_at_all(draw: random.Random, both: Both, end: Data) -> None:
    _with_known_addresses(both)  # or whoever has a tunnel may not be able to ask for it
    end["tunnels"].clear()


@_fault("route-direction-does-not-mirror", None)
def another_direction(draw: random.Random, both: Both, end: Data) -> None:
    row, mirror, _tunnel = _route(draw, both, end, *draw.choice(_NETWORKS))
    row["direction"], mirror["direction"] = draw.sample([direction.value for direction in Direction], 2)
    if Direction(row["direction"]).mirrored.value == mirror["direction"]:
        mirror["direction"] = row["direction"]


@_fault("route-in-another-tunnel", None)
def routes_dealt_out_otherwise(draw: random.Random, both: Both, end: Data) -> None:
    """One tunnel at one end is two at the other, each with one of its routes."""
    row, _mirror, tunnel = _route(draw, both, end, *draw.choice(_NETWORKS))
    tunnel["routes"].remove(row)
    end["tunnels"].append({**copy.deepcopy(tunnel), "name": "apart", "routes": [row]})


@_fault("tunnel-kind-differs", "tunnel route")
def route_based_at_one_end(draw: random.Random, both: Both, end: Data) -> None:
    _without_route_based(both)
    tunnel, _others = _tunnel(draw, both, end)
    tunnel["interface"] = {"name": "vpn0"}


def _without_route_based(both: Both) -> None:
    for end in both.ends:
        end["tunnels"] = [tunnel for tunnel in end["tunnels"] if "interface" not in tunnel]


@_fault("interface-families-differ", "tunnel route|phase 2|PFS")
def ipv6_at_one_end_of_a_device(draw: random.Random, both: Both, end: Data) -> None:
    """Who is asked for all of IPv6 may narrow it to another tunnel's routes, and then miss what that one has."""
    pair = [tunnel for row in both.ends for tunnel in row["tunnels"] if "interface" in tunnel]
    pair = pair or [*declarations.add_route_based(draw, both)]
    for tunnel in pair:
        tunnel["interface"]["addresses"] = tunnel["interface"]["addresses"][:1]
    pair[both.ends.index(end)]["interface"]["addresses"].append("fd99::9/126")


# ------------------------------------------------------------------------------------------------ sites

@_fault("site-declared-twice", None)
def sites_of_one_name(draw: random.Random, both: Both, end: Data) -> None:
    end["site"]["name"] = both.other(end)["site"]["name"]


@_fault("duplicate-identity", None)
def two_peers_of_one_identifier(draw: random.Random, both: Both, end: Data) -> None:
    """The other one has another key and another address, and its far end is not among the declarations."""
    _with_known_addresses(both)
    gateway = _gateway(end)
    (pair,) = gateway["endpoints"]
    pair = copy.deepcopy(pair)
    pair["remote"]["address"] = "2001:db8:9::9" if ":" in pair["local"]["address"] else "203.0.113.9"
    end["gateways"].append({**gateway, "name": "namesake", "endpoints": [pair], "start": "answer",
                            "credential": declarations.credential(draw)})
