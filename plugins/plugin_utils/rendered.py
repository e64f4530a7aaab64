# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders a side for whoever configures it by hand, into a folder of the controller's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..module_utils.vpn.hardware import is_fireware
from ..module_utils.vpn.model import Side
from ..module_utils.vpn.rendering import Rendering, firebox, swanctl
from . import files

RENDERERS: Mapping[str, Callable[[Side], Rendering]] = {"firebox": firebox.render, "swanctl": swanctl.render}
AUTO = "auto"
_OPEN, _PRIVATE = 0o644, 0o600


def render(side: Side, form: str) -> Rendering:
    """``auto`` is ``firebox`` for what runs Fireware, and ``swanctl`` for everything else."""
    if form == AUTO:
        form = "firebox" if is_fireware(side.platform.model) else "swanctl"
    return RENDERERS[form](side)


def write(rendering: Rendering, folder: Path, *, check_mode: bool) -> dict[str, Any]:
    """Make the files hold the rendering, each all or nothing; what a task returns of it. Raises OSError.

    The diff has the files and never the secrets; of these only the paths are told.
    """
    before, after = {}, {}
    changed = False
    for texts, mode in ((rendering.files, _OPEN), (rendering.secrets, _PRIVATE)):
        for name, text in texts.items():
            path = folder / name
            octets = text.encode()
            old = path.read_bytes() if path.is_file() else None
            if old == octets and path.stat().st_mode & 0o777 == mode:
                continue
            changed = True
            if mode == _OPEN:
                before[str(path)], after[str(path)] = (old or b"").decode(errors="replace"), text
            if not check_mode:
                path.parent.mkdir(parents=True, exist_ok=True)
                files.replace(path, octets, mode)
    diff = [{"before": before[path], "after": after[path], "before_header": path, "after_header": path}
            for path in after]
    return {"changed": changed, "diff": diff, "files": sorted(str(folder / name) for name in rendering.files),
            "secrets": sorted(str(folder / name) for name in rendering.secrets)}
