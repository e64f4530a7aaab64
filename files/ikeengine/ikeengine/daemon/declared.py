# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The declaration in force: read from files at the start, and from the control socket at a reload."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .. import layout
from ..crypto.key_encapsulation import is_supported
from ..ike.certificate_doubts import doubts
from ..vpn import declaration, rules
from ..vpn.algorithms import KEY_ENCAPSULATIONS
from ..vpn.model import Side
from .log import Level

NOTHING: dict[str, object] = {"version": declaration.VERSION}


@dataclass(frozen=True)
class Options:
    """As the command line gives them. ``user`` is whom to become, or None to stay who we are; ``debug_keys`` the
    directory to write keys to, or None."""

    declaration: Path
    secrets: Path
    control: Path
    user: str | None
    debug_keys: Path | None = None
    log_level: Level = Level.INFO


class CannotStart(Exception):
    """The daemon cannot begin to serve; the text says why and what to do."""


@dataclass(frozen=True)
class Declared:
    """A side and the digest of the text that declares it."""

    side: Side
    digest: str


def parse(data: Mapping[str, object], secrets: Mapping[str, object], at: float | None = None) -> Declared:
    """``at`` is the Unix time at which certificates are to be valid, None where they may have expired since they were
    declared. Raises declaration.DeclarationError with all findings."""
    side = rules.sound(declaration.read(data, secrets=secrets, site_name=socket.gethostname() or "localhost"))
    findings = rules.against_certificates(side, lambda gateway: doubts(gateway, at))
    findings += rules.against_library(side, [row for row in KEY_ENCAPSULATIONS if not is_supported(row)])
    if findings:
        raise declaration.DeclarationError(tuple(findings))
    return Declared(side, declaration.digest(data))


def read(options: Options, at: float | None = None) -> Declared:
    """What the files declare, as `parse` reads it. Raises CannotStart with all findings."""
    try:
        return parse(load(options.declaration), load(options.secrets), at)
    except declaration.DeclarationError as error:
        findings = "\n".join(f"  {finding.message}" for finding in error.findings)
        raise CannotStart(f"the declaration {options.declaration} is not valid:\n{findings}") from None


def load(path: Path) -> dict[str, object]:
    """The JSON object in a file; a missing file declares nothing. Raises CannotStart, never quoting it."""
    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError:
        return NOTHING
    except OSError as error:
        raise CannotStart(f"cannot read {path}: {error.strerror}; start as root, or under systemd with "
                          f"LoadCredential={path.name}:{layout.DIRECTORY}/{path.name}") from None
    except ValueError as error:
        place = f" at line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise CannotStart(f"{path} holds no JSON{place}") from None
    if not isinstance(data, dict):
        raise CannotStart(f"{path} holds no JSON object")
    return data
