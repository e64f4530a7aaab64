# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands of the machine, run to their end; a failure carries what the command said."""

import subprocess
from collections.abc import Sequence


class CommandFailed(RuntimeError):
    """A command ended with another status than 0."""

    def __init__(self, completed: "subprocess.CompletedProcess[str]") -> None:
        said = f"{completed.stderr}{completed.stdout}".strip()
        super().__init__(f"{' '.join(map(str, completed.args))}: exit status {completed.returncode}: {said}")
        self.completed = completed


def run(
    argv: Sequence[str],
    *,
    check: bool = True,
    input: str | None = None,
    timeout: float = 60,
    env: dict[str, str] | None = None,
) -> "subprocess.CompletedProcess[str]":
    """Run `argv` and return what it printed; raises CommandFailed, or subprocess.TimeoutExpired after `timeout` s."""
    standard_input = {"input": input} if input is not None else {"stdin": subprocess.DEVNULL}
    completed = subprocess.run(
        argv, text=True, capture_output=True, timeout=timeout, env=env, check=False, **standard_input
    )
    if check and completed.returncode != 0:
        raise CommandFailed(completed)
    return completed
