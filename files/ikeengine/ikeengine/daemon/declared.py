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
from ..vpn import declaration
from ..vpn.model import Side

NOTHING: dict[str, object] = {"version": declaration.VERSION}


class UnreadableFile(Exception):
    """A file that is there and cannot be used; the text names it and never quotes it."""


@dataclass(frozen=True)
class Declared:
    """A side and the digest of the text that declares it."""

    side: Side
    digest: str


def parse(data: Mapping[str, object], secrets: Mapping[str, object]) -> Declared:
    """Raises declaration.DeclarationError with all findings."""
    side = declaration.read(data, secrets=secrets, site_name=socket.gethostname() or "localhost")
    return Declared(side, declaration.digest(data))


def load(path: Path) -> dict[str, object]:
    """The JSON object in a file; a missing file declares nothing. Raises UnreadableFile."""
    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError:
        return NOTHING
    except OSError as error:
        raise UnreadableFile(f"cannot read {path}: {error.strerror}; start as root, or under systemd with "
                             f"LoadCredential={path.name}:{layout.DIRECTORY}/{path.name}") from None
    except ValueError as error:
        place = f" at line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise UnreadableFile(f"{path} holds no JSON{place}") from None
    if not isinstance(data, dict):
        raise UnreadableFile(f"{path} holds no JSON object")
    return data
