# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What this kernel can do, learnt by adding and deleting throwaway states."""

from __future__ import annotations

import errno
import os
import socket
from ipaddress import IPv4Address

from ...security_association import DirectionKeys
from ...vpn.algorithms import AUTHENTICATIONS, ENCRYPTIONS, Authentication, Encryption, Use
from ...vpn.model import Protocol
from ..capabilities import DEVICES, Capabilities
from ..interface import DataPlaneError
from ..netlink import NETLINK_XFRM, NetlinkError, NetlinkSocket
from . import devices, messages, states
from .sockets import enable_espinudp

#: Documentation addresses (RFC 5737): no packet ever matches the throwaway states.
_LOCAL = IPv4Address("192.0.2.1")
_REMOTE = IPv4Address("192.0.2.2")
_UNSUPPORTED = {errno.ENOSYS, errno.EPROTONOSUPPORT, errno.ENOENT, errno.EINVAL, errno.EOPNOTSUPP}


def probe() -> Capabilities:
    """Try every algorithm of the table with each protocol. Never raises."""
    try:
        kernel = NetlinkSocket(NETLINK_XFRM, messages.parse)
    except NetlinkError as error:
        return _nothing(str(error))
    try:
        return _probe(kernel)
    except NetlinkError as error:
        return _nothing(str(error))
    finally:
        kernel.close()


def _nothing(why: str) -> Capabilities:
    return Capabilities(False, (why,), frozenset(), frozenset(), frozenset(), False, False)


def _probe(kernel: NetlinkSocket) -> Capabilities:
    reference = next(row for row in AUTHENTICATIONS if row.name == "SHA2-256")
    failures: dict[str, NetlinkError] = {}
    encryptions = set()
    for row in ENCRYPTIONS:
        if error := _try(kernel, Protocol.ESP, row, None if row.aead else reference):
            failures[row.name] = error
        else:
            encryptions.add(row)
    cipher = next((row for row in ENCRYPTIONS if row in encryptions and not row.aead), None)
    hashes = set()
    for hash_row in AUTHENTICATIONS:
        if Use.ESP in hash_row.uses and cipher is not None:
            if error := _try(kernel, Protocol.ESP, cipher, hash_row):
                failures[hash_row.name] = error
            else:
                hashes.add(hash_row)
    protocols = {Protocol.ESP} if encryptions else set()
    if error := _try(kernel, Protocol.AH, None, reference):
        failures["AH"] = error
    else:
        protocols.add(Protocol.AH)
    if Protocol.ESP not in protocols:
        first = failures[ENCRYPTIONS[-1].name]
        missing = [f"ESP ({errno.errorcode.get(first.errno, first.errno)}): this kernel is built without it"]
        missing += ["AH"] if Protocol.AH not in protocols else []
    else:
        missing = list(failures)
    kinds, why_not = _devices() if protocols else ((), "")
    missing += [f"{DEVICES}: {why_not}"] if why_not else []
    encapsulates = _encapsulates()
    if not encapsulates:
        missing.append("ESP in UDP (UDP_ENCAP)")
    strongest = next((row for row in ENCRYPTIONS if row in encryptions), None)
    extended = strongest is not None and _try(
        kernel, Protocol.ESP, strongest, None if strongest.aead else reference, messages.XFRM_STATE_ESN) is None
    return Capabilities(bool(protocols), tuple(missing), frozenset(protocols), frozenset(encryptions),
                        frozenset(hashes), extended, encapsulates, devices=kinds)


def _try(kernel: NetlinkSocket, protocol: Protocol, encryption: Encryption | None,
         authentication: Authentication | None, flags: int = 0) -> NetlinkError | None:
    """Why the kernel would not have such a state, or None. Raises NetlinkError where it may not be asked."""
    keys = DirectionKeys(os.urandom(encryption.keying_size) if encryption else b"",
                         os.urandom(authentication.key_size) if authentication else b"")
    spi = int.from_bytes(os.urandom(4), "big") % (states.SPI_MAX - states.SPI_MIN) + states.SPI_MIN
    values = {"id_daddr": _REMOTE.packed, "id_spi": spi, "id_proto": messages.IP_PROTOCOL[protocol],
              "saddr": _LOCAL.packed, "family": socket.AF_INET, "mode": messages.XFRM_MODE_TUNNEL, "flags": flags,
              **{f"lft_{kind}_{unit}_limit": messages.XFRM_INF
                 for kind in ("soft", "hard") for unit in ("byte", "packet")}}
    attributes = states.algorithms(encryption, authentication, keys)
    if flags & messages.XFRM_STATE_ESN:
        attributes.append(("XFRMA_REPLAY_ESN_VAL", {"bmp_len": 1, "replay_window": 32}))
    what = f"probing {protocol.name}"
    try:
        kernel.change(what, messages.build(messages.XFRM_MSG_NEWSA, values, attributes))
    except NetlinkError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        return error
    kernel.change(what, messages.build(messages.XFRM_MSG_DELSA, states.state_id(_REMOTE, spi, protocol)))
    return None


def _devices() -> tuple[tuple[str, ...], str]:
    """Which kind of device this kernel makes, or in words why none. VTI is asked for only where there is nothing
    better: its module leaves devices of its own in every network namespace."""
    refused = []
    try:
        for kind in (devices.XFRM, devices.VTI):
            error = devices.try_to_make(kind)
            if error is None:
                return (kind,), ""
            refused.append(f"no {devices.WORDS[kind]} ({errno.errorcode.get(error.errno, error.errno)})")
    except DataPlaneError as error:
        return (), str(error)
    return (), f"this kernel has {' and '.join(refused)}"


def _encapsulates() -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as trial:
        try:
            enable_espinudp(trial)
        except OSError:
            return False
    return True
