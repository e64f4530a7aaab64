# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The states of an IKE SA, and the ports between which it lives."""

from __future__ import annotations

from enum import Enum

#: What stands in the header for the SPI of an end that has not chosen one (RFC 7296 §3.1).
NO_SPI = bytes(8)

IKE_PORT = 500
NAT_TRAVERSAL_PORT = 4500


class State(Enum):
    #: Our IKE_SA_INIT request is under way.
    INITIATING = "initiating"
    #: We answered IKE_SA_INIT and wait for IKE_AUTH.
    RESPONDING = "responding"
    #: Our IKE_AUTH request is under way.
    AUTHENTICATING = "authenticating"
    ESTABLISHED = "established"
    #: A rekey made a successor, which has the children; waits to be deleted.
    REPLACED = "replaced"
    #: Our DELETE is under way.
    CLOSING = "closing"
    CLOSED = "closed"


#: Those of one that we have begun and that is not up yet.
BEGINNING = (State.INITIATING, State.AUTHENTICATING)
