# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The model as plain data: the canonical declaration, its secrets apart."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from . import durations
from .algorithms import KeyEncapsulation
from .model import Credential, CredentialMethod, Endpoint, Gateway, Proposal, Secret, Side, Transform, Tunnel

VERSION = 1
"""Of the format that ``write`` gives and ``declaration.read`` takes."""

_Item = TypeVar("_Item", Transform, Proposal)


def write(side: Side) -> tuple[dict[str, object], dict[str, object]]:
    """The canonical declaration without its secrets, and the secrets: what the host's two files hold."""
    declaration: dict[str, object] = {
        "version": VERSION,
        "site": _plain(name=side.name, platform=side.platform.model, firmware=side.platform.firmware,
                       managed=side.managed),
        "policy": side.policy.value,
        **({"shared_transforms": [item.name for item in side.shared_transforms]} if side.shared_transforms else {}),
        "transforms": [_write_transform(item) for item in
                       joined(side.transforms, (item for gateway in side.gateways for item in gateway.transforms))],
        "proposals": [_write_proposal(item) for item in
                      joined(side.proposals, (item for tunnel in side.tunnels for item in tunnel.proposals))],
        "gateways": [_write_gateway(gateway) for gateway in side.gateways],
        "tunnels": [_write_tunnel(tunnel) for tunnel in side.tunnels],
    }
    keys = {gateway.name: _write_keys(gateway.credential) for gateway in side.gateways}
    return declaration, {"version": VERSION, "gateways": {name: key for name, key in keys.items() if key}}


def joined(declared: Iterable[_Item], used: Iterable[_Item]) -> tuple[_Item, ...]:
    """All declared items, then the built-in ones in use."""
    by_name: dict[str, _Item] = {item.name: item for item in declared}
    for item in used:
        by_name.setdefault(item.name, item)
    return tuple(by_name.values())


def _plain(**fields: object) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value is not None}


def _write_transform(transform: Transform) -> dict[str, object]:
    return _plain(name=transform.name, authentication=transform.authentication.name,
                  encryption=transform.encryption.name, sa_life=durations.format_duration(transform.sa_life),
                  key_group=transform.key_group.number,
                  additional_key_exchange=_name(transform.additional_key_exchange))


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
        credential=_write_credential(gateway.credential),
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
    public = endpoint.public_address
    return _plain(address="dynamic" if endpoint.address is None else str(endpoint.address),
                  public_address=None if public is None else str(public),
                  identifier={"type": endpoint.identity.kind.value, "value": endpoint.identity.value})


def _write_tunnel(tunnel: Tunnel) -> dict[str, object]:
    interface = tunnel.interface
    return _plain(
        name=tunnel.name,
        gateway=tunnel.gateway,
        routes=[{"local": str(route.local), "remote": str(route.remote), "direction": route.direction.value}
                for route in tunnel.routes],
        proposals=[proposal.name for proposal in tunnel.proposals],
        pfs=_plain(enabled=True, key_group=tunnel.pfs.number,
                   additional_key_exchange=_name(tunnel.additional_key_exchange)) if tunnel.pfs else {"enabled": False},
        sa_pairs=tunnel.sa_pairs.value,
        dataplane=tunnel.dataplane.value,
        interface=_plain(name=interface.name, addresses=list(interface.addresses), metric=interface.metric)
        if interface else None,
    )


def _write_credential(credential: Credential) -> dict[str, object]:
    ppk = credential.ppk
    return _plain(method=credential.method.value, certificate=credential.certificate, ca=list(credential.ca) or None,
                  chain=list(credential.chain) or None, crl=list(credential.crl) or None,
                  ppk=None if ppk is None else {"id": ppk.id, "required": ppk.required})


def _write_keys(credential: Credential) -> dict[str, object]:
    """What is secret in it, and the method that says how to read that; empty where nothing is known."""
    method, secret, ppk = credential.method, credential.secret, credential.ppk
    keys: dict[str, object] = {}
    if secret is not None:
        field = "private_key" if method is CredentialMethod.CERTIFICATE else "psk"
        keys[field] = _write_key(method, secret)
    if credential.also_accepted:
        keys["also_accepted"] = [_write_key(method, key) for key in credential.also_accepted]
    if ppk is not None and ppk.secret is not None:
        keys["ppk_key"] = f"0x{ppk.secret.octets.hex()}"
    return {"method": method.value, **keys} if keys else {}


def _write_key(method: CredentialMethod, key: Secret) -> str:
    return key.octets.hex() if method is CredentialMethod.HEX_PSK else key.octets.decode()


def _name(row: KeyEncapsulation | None) -> str | None:
    return None if row is None else row.name
