# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Post-quantum pre-shared keys (RFC 8784 §3): announced in IKE_SA_INIT, named and mixed in with IKE_AUTH.

From then on they are in the keys of all child SAs and of every IKE SA that rekeys this one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ..crypto.key_derivation import with_ppk
from ..ike.refusal import Refusal
from ..negotiation import identities
from ..negotiation.credentials import no_common_ppk
from ..vpn.model import Gateway, Ppk
from ..wire.authentication import Authentication
from ..wire.constants import NotifyType, PpkIdType
from ..wire.message import Payload, notify
from ..wire.notify import Notify

if TYPE_CHECKING:
    from .session import Ikev2Session

NOT_COMMON = "no post-quantum pre-shared key is common to both ends"


def announced(gateways: Iterable[Gateway]) -> list[Payload]:
    """For IKE_SA_INIT: that one of them has such a key."""
    return [Notify(NotifyType.USE_PPK)] if any(row.credential.ppk for row in gateways) else []


def is_announced(payloads: Sequence[Payload]) -> bool:
    return notify(payloads, NotifyType.USE_PPK) is not None


def mix(session: Ikev2Session, ppk: Ppk) -> None:
    """Put it into SK_d, SK_pi and SK_pr."""
    assert ppk.secret is not None
    protection = session.protection
    protection.keys, protection.ppk = with_ppk(protection.prf, protection.keys, ppk.secret.octets), True


def named(ppk: Ppk) -> Notify:
    return Notify(NotifyType.PPK_IDENTITY, bytes((PpkIdType.FIXED,)) + ppk.id.encode())


def took(session: Ikev2Session, gateway: Gateway, payloads: Sequence[Payload], proof: Authentication) -> Authentication:
    """The responder's part in IKE_AUTH: mix in the key that the initiator names, or go on without where neither end
    requires one. Returns the proof that then counts. Raises Refusal."""
    identity, ppk = notify(payloads, NotifyType.PPK_IDENTITY), gateway.credential.ppk
    if identity is not None and ppk is not None and identity.data == named(ppk).data:
        mix(session, ppk)
        return proof
    plain = notify(payloads, NotifyType.NO_PPK_AUTH)
    if (ppk is not None and ppk.required) or (identity is not None and plain is None):
        theirs = None if identity is None else identities.printable(identity.data[1:])
        session.account.credential = NOT_COMMON
        raise Refusal(NotifyType.AUTHENTICATION_FAILED, no_common_ppk(gateway, session.remote.address, theirs),
                      fatal=True)
    return proof if plain is None else Authentication(proof.method, plain.data)
