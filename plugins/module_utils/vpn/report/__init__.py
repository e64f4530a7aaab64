# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a validation found, as people and as programs read it: text, JSON, Markdown and SARIF over one judgement."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from .data import as_json
from .judgement import Judgement, Locate, Position, Verdict, nowhere
from .markdown import as_markdown
from .sarif import as_sarif
from .text import as_text

__all__ = ["FORMATS", "Judgement", "Locate", "Position", "Verdict", "nowhere", "render"]

FORMATS: Mapping[str, Callable[[Judgement, Locate], str]] = {
    "text": as_text, "json": as_json, "markdown": as_markdown, "sarif": as_sarif}


def render(form: str, judgement: Judgement, locate: Locate = nowhere) -> str:
    """A report, ending in a line break. ``locate`` finds the lines where things are declared. Raises KeyError."""
    return FORMATS[form](judgement, locate)
