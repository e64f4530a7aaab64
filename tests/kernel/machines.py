# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests that run inside User-Mode Linux and are reported, one by one, as if they ran here."""

import json
import os
import platform
import shlex
import sys
from collections import defaultdict
from pathlib import Path

import pytest
from ansible_collections.tandem.vpn.plugins.plugin_utils import archive

from tests.testbed.uml import run_in_uml
from tests.testbed.virtual_machine import MachineFailed

#: Set inside: the file for the reports.
REPORTS = "TESTS_IN_UML_REPORT_TO"
# A machine that is busy with other tests is several times slower than an idle one.
TEST_SECONDS = 480
BOOT_SECONDS = 120
# Modules that the machine's init does not load, and what the systemd of a test bed's hosts needs.
PREPARE = """\
modprobe -a esp6 bridge iptable_nat xt_MASQUERADE
mount -t cgroup2 cgroup2 /sys/fs/cgroup
"""


class Machines:
    """What a second pytest reported from inside: one machine for each module of tests, booted when first needed."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._reports: dict[str, list[pytest.TestReport]] = defaultdict(list)
        self._outputs: dict[Path, str] = {}

    def reports(self, item: pytest.Item) -> list[pytest.TestReport]:
        """What is to be reported of a test; a failure with all that was said where the machine did not end it."""
        if item.path not in self._outputs:
            self._outputs[item.path] = self._run([each for each in item.session.items if each.path == item.path])
        reports = self._reports[item.nodeid]
        if not reports or reports[-1].when != "teardown":
            said = f"the machine did not come to the end of this test\n{self._outputs[item.path]}"
            reports.append(pytest.TestReport(item.nodeid, item.location, {}, "failed", said, "call"))
        return reports

    def _run(self, items: list[pytest.Item]) -> str:
        """Run tests on a machine of their own; returns all that was printed there."""
        pytest_inside = [sys.executable, "-B", "-m", "pytest", "-p", "no:cacheprovider"]
        argv = ["timeout", str(TEST_SECONDS), *pytest_inside, *(item.nodeid for item in items)]
        script = (
            f"{PREPARE}export ANSIBLE_HOME={shlex.quote(str(keep_archive()))} {REPORTS}=$RESULTS/reports\n"
            f"{shlex.join(argv)}\n"
        )
        try:
            result = run_in_uml(script, timeout=BOOT_SECONDS + TEST_SECONDS, memory="1G")
        except MachineFailed as error:
            return str(error)
        for line in result.files.get("reports", b"").splitlines():
            report = self._config.hook.pytest_report_from_serializable(config=self._config, data=json.loads(line))
            self._reports[report.nodeid].append(report)
        return result.output


class Reporter:
    """Inside: the plugin that hands each report out."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        data = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        with Path(os.environ[REPORTS]).open("a") as reports:
            reports.write(json.dumps(data) + "\n")


def keep_archive() -> Path:
    """Build the archive that a playbook sends to a test bed's hosts; returns the ANSIBLE_HOME that has it.

    Inside there is no package index to build it from. The hosts have this machine's Python, and so have we.
    """
    archive.build(
        {
            "source": archive.source_digest("bundled"),
            "dependencies": "bundled",
            "python": f"{sys.version_info.major}.{sys.version_info.minor}",
            "machine": platform.machine(),
            "libc": "-".join(platform.libc_ver()),
        }
    )
    return archive.CACHE.parents[1]
