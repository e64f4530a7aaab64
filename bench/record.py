# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the figures of a benchmark go: build/bench/NAME.json, and the same on the screen."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

_FOLDER = Path(__file__).resolve().parents[1] / "build" / "bench"


def write(name: str, figures: Mapping[str, object]) -> Path:
    """Returns the file, which holds the figures as one JSON object in the order given."""
    _FOLDER.mkdir(parents=True, exist_ok=True)
    path = _FOLDER / f"{name}.json"
    path.write_text(json.dumps(figures, indent=2) + "\n")
    print(f"{path}\n{path.read_text()}", end="")
    return path
