# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys for Wireshark, for whoever has to see what is in the datagrams: off unless asked for on the command line.

The directory is a configuration of Wireshark's: ``WIRESHARK_CONFIG_DIR=DIRECTORY tshark -r CAPTURE`` decrypts IKE and,
with ``-o esp.enable_encryption_decode:TRUE``, ESP. The files are the tables that its dissectors of ISAKMP and ESP
keep; a suite for which they have no name is left out. They know one set of keys for each IKE SA and take the first,
while a hybrid suite has several in turn (RFC 9370 §2.2.2).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ..ike.events import ChildInbound, ChildMoved, Event, IkeKeyed
from ..security_association import ChildSa
from ..vpn.model import IkeVersion, Protocol

IKEV1, IKEV2, ESP = "ikev1_decryption_table", "ikev2_decryption_table", "esp_sa"

_IKE_ENCRYPTION = {
    "3DES": "3DES [RFC2451]",
    **{f"AES-{bits}": f"AES-CBC-{bits} [RFC3602]" for bits in (128, 192, 256)},
    **{f"AES-GCM-{bits}": f"AES-GCM-{bits} with 16 octet ICV [RFC5282]" for bits in (128, 192, 256)},
}
_IKE_INTEGRITY = {
    "MD5": "HMAC_MD5_96 [RFC2403]", "SHA1": "HMAC_SHA1_96 [RFC2404]", "SHA2-256": "HMAC_SHA2_256_128 [RFC4868]",
    "SHA2-384": "HMAC_SHA2_384_192 [RFC4868]", "SHA2-512": "HMAC_SHA2_512_256 [RFC4868]",
}
_ESP_ENCRYPTION = {
    "DES": "DES-CBC [RFC2405]", "3DES": "TripleDES-CBC [RFC2451]",
    **{f"AES-{bits}": "AES-CBC [RFC3602]" for bits in (128, 192, 256)},
    **{f"AES-GCM-{bits}": "AES-GCM with 16 octet ICV [RFC4106]" for bits in (128, 192, 256)},
}
_ESP_AUTHENTICATION = {
    "MD5": "HMAC-MD5-96 [RFC2403]", "SHA1": "HMAC-SHA-1-96 [RFC2404]", "SHA2-256": "HMAC-SHA-256-128 [RFC4868]",
    "SHA2-384": "HMAC-SHA-384-192 [RFC4868]", "SHA2-512": "HMAC-SHA-512-256 [RFC4868]",
}
"""Wireshark's words for the one table's."""


class CannotExport(Exception):
    """The directory does not serve; the text says why."""


class KeyExport:
    """Appends to the files of `directory`, which only their owner may read."""

    def __init__(self, directory: Path) -> None:
        """Raises CannotExport."""
        self.directory = directory
        try:
            directory.mkdir(mode=0o700, exist_ok=True)
            found = directory.lstat()
            if not directory.is_dir() or directory.is_symlink() or found.st_uid != os.geteuid() or found.st_mode & 0o77:
                raise CannotExport(f"{directory} is not a directory that is yours alone (chmod 700)")
            self._files = {name: _open(directory / name) for name in (IKEV1, IKEV2, ESP)}
        except OSError as error:
            raise CannotExport(f"cannot write keys to {directory}: {error.strerror}") from None

    def take(self, event: Event) -> None:
        """Write what an event brings. Raises OSError."""
        match event:
            case IkeKeyed():
                self._ike(event)
            case ChildInbound(child) | ChildMoved(child) if child.protocol is Protocol.ESP:
                self._esp(child)

    def _ike(self, event: IkeKeyed) -> None:
        spis = (event.spi_i.hex(), event.spi_r.hex())
        (encryption_i, encryption_r), (integrity_i, integrity_r) = event.encryption_keys, event.integrity_keys
        if event.version is IkeVersion.V1:
            self._write(IKEV1, (spis[0], encryption_i.hex()))
            return
        encryption = _IKE_ENCRYPTION.get(event.encryption.name)
        integrity = _IKE_INTEGRITY[event.integrity.name] if event.integrity else "NONE [RFC4306]"
        if encryption is not None:
            self._write(IKEV2, (*spis, encryption_i.hex(), encryption_r.hex(), f'"{encryption}"', integrity_i.hex(),
                                integrity_r.hex(), f'"{integrity}"'))

    def _esp(self, child: ChildSa) -> None:
        if child.encryption is None or child.encryption.name not in _ESP_ENCRYPTION:
            return
        encryption = _ESP_ENCRYPTION[child.encryption.name]
        authentication = _ESP_AUTHENTICATION[child.authentication.name] if child.authentication else "NULL"
        local, remote = child.local.address, child.remote.address
        for source, destination, spi, keys in ((local, remote, child.spi_out, child.keys_out),
                                               (remote, local, child.spi_in, child.keys_in)):
            row = (f"IPv{source.version}", source, destination, f"0x{spi:08x}", encryption,
                   f"0x{keys.encryption.hex()}", authentication,
                   f"0x{keys.authentication.hex()}" if keys.authentication else "")
            self._write(ESP, [f'"{field}"' for field in row])

    def _write(self, name: str, fields: Sequence[str]) -> None:
        os.write(self._files[name], (",".join(fields) + "\n").encode())


def _open(path: Path) -> int:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    os.fchmod(file, 0o600)
    return file
