# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The second kernel: what a script does there, and how it ends."""

import os
import time
from pathlib import Path

import pytest

from tests.testbed.uml import run_in_uml
from tests.testbed.virtual_machine import MachineFailed

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

ESP = """
set -e
state() { ip xfrm state add src 192.0.2.1 dst 192.0.2.2 proto esp spi $1 reqid 1 mode tunnel "${@:2}"; }
key=000102030405060708090a0b0c0d0e0f
state 0x1001 aead 'rfc4106(gcm(aes))' 0x${key}10111213 128
state 0x1002 auth-trunc 'hmac(sha256)' 0x$key$key 128 enc 'cbc(aes)' 0x$key
state 0x1003 encap espinudp 4500 4500 0.0.0.0 aead 'rfc4106(gcm(aes))' 0x${key}10111213 128
ip xfrm state count
"""


def machines() -> list[str]:
    """PIDs of the User-Mode Linux machines that this process's tests have started and that still run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"linux.uml" in path.read_bytes() and f"tests-{os.getpid()}" in path.with_name("environ").read_text():
                found.append(path.parent.name)
        except OSError:
            continue
    return found


def test_its_kernel_takes_esp_states_and_leaves_the_machine_alone() -> None:
    script = ESP + 'touch /etc/changed-inside; pwd; echo kept > "$RESULTS/note"; exit 3'
    result = run_in_uml(script, timeout=180)
    assert result.exit_status == 3, result.output
    assert "SAD count 3" in result.output
    assert result.files == {"note": b"kept\n"}
    assert not Path("/etc/changed-inside").exists()


def test_a_script_that_does_not_end_is_killed_with_what_it_had_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESTBED_MARK", f"tests-{os.getpid()}")
    with pytest.raises(MachineFailed, match=r"within 20 s[\s\S]*it began"):
        run_in_uml("echo it began; sleep 1000", timeout=20)
    # Killed is not yet gone: the kernel takes a moment to end what a guest had running.
    deadline = time.monotonic() + 60
    while machines() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert machines() == []
