# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A capture in the eyes of Wireshark, which shares no code with anything here."""

import os
from collections.abc import Sequence
from pathlib import Path

from .command import run

DECRYPT = ("-o", "esp.enable_encryption_decode:TRUE", "-o", "esp.enable_authentication_check:TRUE")


def rows(capture: Path, fields: Sequence[str], *, keys: Path, shown: str) -> list[dict[str, list[str]]]:
    """The values of `fields` in each frame that the display filter `shown` leaves; `keys` is its configuration.

    Raises CommandFailed.
    """
    words = [word for field in fields for word in ("-e", field)]
    argv = ["tshark", "-r", str(capture), *DECRYPT, "-Y", shown, "-T", "fields", "-E", "occurrence=a", *words]
    said = run(argv, env={**os.environ, "WIRESHARK_CONFIG_DIR": str(keys)}).stdout
    return [dict(zip(fields, ([value for value in column.split(",") if value] for column in line.split("\t")),
                     strict=True)) for line in said.splitlines()]
