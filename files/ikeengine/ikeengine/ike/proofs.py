# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""By what both ends of an IKE SA have shown who they are, and what of it a later declaration still takes."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ..crypto.errors import CertificateError
from ..vpn.model import Credential, CredentialMethod, Identity, Secret
from .credentials import certified


@dataclass(slots=True)
class Proofs:
    """``credential`` was the declared one, ``own_key`` and ``peer_key`` are the pre-shared keys of either end's proof,
    which may be two where both ends accept both. ``certificates`` and ``lists`` are what the peer sent, in DER."""

    credential: Credential | None = None
    own_key: Secret | None = field(default=None, repr=False)
    peer_key: Secret | None = field(default=None, repr=False)
    certificates: Sequence[bytes] = ()
    lists: Sequence[bytes] = ()

    def are_of(self, credential: Credential) -> bool:
        """Whether the two ends would prove themselves alike today: we by the same, and the peer by what we accept."""
        before = self.credential
        by_certificate = credential.method is CredentialMethod.CERTIFICATE
        if before is None or (before.method is CredentialMethod.CERTIFICATE) is not by_certificate \
                or before.ppk != credential.ppk:
            return False
        if by_certificate:
            return _own_part(before) == _own_part(credential)
        return (_is_one_of(self.own_key, (credential.secret,))
                and _is_one_of(self.peer_key, credential.accepted))

    def distrust(self, credential: Credential, identity: Identity, unix_time: float) -> str | None:
        """Why what the peer of that identity has shown does not hold any more under the credential; None where it does,
        or was no certificate."""
        before = self.credential
        if (not self.certificates or before is None or credential.method is not CredentialMethod.CERTIFICATE
                or (before.ca, before.crl) == (credential.ca, credential.crl)):
            return None
        try:
            certified(credential).trust(identity, self.certificates, self.lists, unix_time)
        except CertificateError as error:
            return str(error)
        return None


def _own_part(credential: Credential) -> Credential:
    """What we show to the peer."""
    return replace(credential, ca=(), crl=())


def _is_one_of(key: Secret | None, keys: Sequence[Secret | None]) -> bool:
    return any(key is not None and row is not None and hmac.compare_digest(key.octets, row.octets) for row in keys)
