# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A shell on a host of a bed ends well, whatever its last command did."""

from pathlib import Path

import pytest

from tests.testbed import __main__ as testbed


@pytest.mark.parametrize(("ssh", "status"), [(0, 0), (2, 0), (130, 0), (255, 255)])
def test_only_what_ssh_itself_could_not_do_is_a_failure(ssh: int, status: int, tmp_path: Path,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "ssh"
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\nexit {ssh}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert testbed.shell(tmp_path / "config", "hq") == status
    assert (tmp_path / "asked").read_text() == f"-t -F {tmp_path}/config hq\n"
