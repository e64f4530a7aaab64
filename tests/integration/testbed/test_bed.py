# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A bed is what it says, stays apart from the machine, and goes without a trace."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.testbed import CHECKOUT
from tests.testbed.capture import Capture
from tests.testbed.host import Host, cgroup_root
from tests.testbed.topology import Bed, BedExists

pytestmark = pytest.mark.hosts


def ssh(bed: Bed, host: str, command: str) -> str:
    argv = ["ssh", "-F", str(bed.ssh_config), host, command]
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=30).stdout


def command_line(*words: str) -> "subprocess.CompletedProcess[str]":
    argv = [sys.executable, "-m", "tests.testbed", *words]
    return subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=120)


def traces(bed: Bed) -> list[str]:
    """What the machine shows of a bed, anywhere that a bed leaves something."""
    shown = {
        "namespace": os.listdir("/run/netns") if Path("/run/netns").exists() else [],
        "link": os.listdir("/sys/class/net"),
        "mount": Path("/proc/self/mountinfo").read_text().splitlines(),
        "cgroup": [entry.name for entry in (cgroup_root() or Path("/sys/fs/cgroup")).iterdir()],
        "run": os.listdir("/run"),
        "process": [
            Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            for pid in filter(str.isdigit, os.listdir("/proc"))
            if Path(f"/proc/{pid}/cmdline").exists() and int(pid) != os.getpid()
        ],
    }
    marks = (bed.prefix, bed.bridge, str(bed.folder), bed.control_folder.name)
    left = [f"{kind}: {line}" for kind, lines in shown.items() for line in lines if any(mark in line for mark in marks)]
    return left + ([f"folder: {bed.folder}"] if bed.folder.exists() else [])


def inhabitants(namespaces: set[int]) -> list[int]:
    """PIDs of the machine's processes whose network is one of `namespaces`, by inode."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.stat(f"/proc/{pid}/ns/net").st_ino in namespaces:
                found.append(int(pid))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("name", ["hq", "branch"])
def test_a_host_boots_systemd_as_pid_1_and_every_unit_of_it_runs(bed: Bed, name: str) -> None:
    host = bed.hosts[name]
    assert host.run(["cat", "/proc/1/comm"]).stdout == "systemd\n"
    assert host.run(["systemctl", "--failed", "--no-legend"]).stdout == ""
    assert host.run(["systemctl", "is-system-running"]).stdout == "running\n"
    assert host.run(["hostname"]).stdout == f"{name}\n"


def test_a_host_has_its_own_etc_run_and_var(bed: Bed) -> None:
    hq, branch = bed.hosts["hq"], bed.hosts["branch"]
    for folder in ("/etc", "/run", "/var/lib", "/var/tmp", "/tmp", "/opt", "/usr/local/sbin", "/root"):
        mark = f"{folder}/{bed.name}"
        hq.put(b"hq's own\n", mark, mode=0o600)
        assert hq.get(mark) == b"hq's own\n"
        assert hq.run(["stat", "-c", "%a %U", mark]).stdout == "600 root\n"
        assert branch.run(["test", "-e", mark], check=False).returncode == 1
        assert not Path(mark).exists()


def test_a_host_sees_nothing_of_the_machine_but_its_packages(bed: Bed) -> None:
    hq = bed.hosts["hq"]
    assert hq.run(["sh", "-c", "ls -A /home /opt /srv /mnt /media /boot | grep -v :"], check=False).stdout.strip() in (
        "",
        bed.name,
    )
    assert hq.run(["test", "-e", str(CHECKOUT)], check=False).returncode == 1
    assert hq.run(["sh", "-c", "cut -d: -f2 /etc/shadow | sort -u"]).stdout == "*\n"
    assert hq.run(["sh", "-c", "ls /etc/ikeengine /usr/local/sbin/ikectl"], check=False).stdout == ""
    assert hq.run(["dpkg-query", "-W", "-f", "${Status}", "systemd"]).stdout == "install ok installed"
    assert len(hq.run(["ps", "-e", "-o", "pid="]).stdout.split()) < 20


def test_ssh_reaches_a_host_with_the_beds_own_key_alone(bed: Bed) -> None:
    assert ssh(bed, "hq", "hostname; id -u") == "hq\n0\n"
    assert ssh(bed, bed.addresses["branch"], "hostname") == "branch\n"
    known = f"UserKnownHostsFile={bed.folder}/ssh/known_hosts"
    stranger = ["ssh", "-F", "none", "-o", known, "-o", "BatchMode=yes", f"root@{bed.addresses['hq']}", "true"]
    assert "Permission denied" in subprocess.run(stranger, capture_output=True, text=True, check=False).stderr
    assert bed.folder.stat().st_mode & 0o777 == 0o700


def test_ansible_reaches_a_host_by_the_inventory_that_the_bed_wrote(bed: Bed) -> None:
    ansible = [str(Path(sys.executable).parent / "ansible"), "-i", str(bed.folder / "inventory.yml"), "all"]
    said = subprocess.run([*ansible, "-m", "ping", "-o"], capture_output=True, text=True, check=False, timeout=60)
    assert said.returncode == 0, said.stdout + said.stderr
    assert said.stdout.count('"ping": "pong"') == 2


def test_before_any_vpn_the_router_sees_lan_to_lan_traffic_in_clear(bed: Bed, tmp_path: Path) -> None:
    marker = bytes.fromhex("00112233445566778899aabbccddeeff")
    with Capture(bed.router, "wan-hq", tmp_path / "router.pcap") as capture:
        said = bed.namespaces["lan-hq"].run(["ping", "-c", "5", "-i", "0.05", "-p", marker.hex(), "10.2.0.2"]).stdout
    assert "5 packets transmitted, 5 received" in said
    counts = capture.counts(bed.LANS)
    assert (counts.clear, counts.protected, counts.ike) == (10, 0, 0)
    # The text is found wherever it travels, not only between the LANs' addresses.
    assert capture.counts([], marker=marker).clear == 10


def test_the_machines_own_routes_gain_the_management_network_and_nothing_else(bed: Bed) -> None:
    routes = json.loads(subprocess.run(["ip", "-json", "route"], capture_output=True, check=True).stdout)
    assert [route["dst"].split("/")[0].rpartition(".")[0] for route in routes if route.get("dev") == bed.bridge] == [
        "203.0.113"
    ]


def test_a_bed_that_is_up_is_not_built_over(bed: Bed) -> None:
    with pytest.raises(BedExists, match=f"testbed down {bed.name}"):
        Bed(bed.name, state=bed.folder.parent).up()
    assert all(host.running for host in bed.hosts.values())


@pytest.mark.parametrize("name", ["", "Demo", "a-name-too-long", "-x", "a/b"])
def test_a_name_that_fits_no_interface_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="a bed's name"):
        Bed(name)


def test_down_leaves_nothing_and_beds_do_not_touch_each_other(bed: Bed, bed_name: str) -> None:
    assert (up := command_line("up", bed_name)).returncode == 0, up.stderr
    other = Bed(bed_name)
    assert command_line("status", bed_name).stdout.count("running, PID") == 2
    assert not set(bed.addresses.values()) & set(other.addresses.values())
    namespaces = {
        os.stat(f"/run/netns/{entry}").st_ino for entry in os.listdir("/run/netns") if entry.startswith(other.prefix)
    }
    ports = set(os.listdir(f"/sys/class/net/{other.bridge}/brif"))
    assert len(namespaces) == 5 and len(inhabitants(namespaces)) > 4 and len(ports) == 2 and traces(other)

    assert command_line("down", bed_name).returncode == 0
    assert traces(other) == []
    assert inhabitants(namespaces) == []
    assert not ports & set(os.listdir("/sys/class/net"))
    assert command_line("down", bed_name).returncode == 0
    assert all(host.running for host in bed.hosts.values())
    assert ssh(bed, "hq", "hostname") == "hq\n"


@pytest.mark.parametrize("reached", ["namespace", "bridge", "cgroup", "host"])
def test_down_removes_what_a_killed_up_left(bed_name: str, reached: str) -> None:
    bed = Bed(bed_name)
    root = cgroup_root()
    assert root is not None
    milestone = {
        "namespace": Path("/run/netns", f"{bed.prefix}router"),
        "bridge": Path("/sys/class/net", bed.bridge),
        "cgroup": root / f"{bed.prefix}hq",
        "host": bed.folder / "hq" / "pid",
    }[reached]
    assert not milestone.exists()
    up = subprocess.Popen([sys.executable, "-m", "tests.testbed", "up", bed_name], cwd=CHECKOUT)
    deadline = time.monotonic() + 30
    while not milestone.exists() and time.monotonic() < deadline:
        time.sleep(0.002)
    up.kill()
    up.wait()
    assert traces(bed)
    bed.down()
    assert traces(bed) == []


def test_down_needs_no_folder(bed_name: str, tmp_path: Path) -> None:
    Bed(bed_name, state=tmp_path).up()
    elsewhere = Bed(bed_name)
    assert traces(elsewhere)
    elsewhere.down()
    assert traces(elsewhere) == []


def test_a_host_without_systemd_has_sshd_and_nothing_else(bed_name: str, tmp_path: Path) -> None:
    with Bed(bed_name, state=tmp_path, init="sshd") as bed:
        hq: Host = bed.hosts["hq"]
        assert hq.run(["cat", "/proc/1/comm"]).stdout == "sshd\n"
        assert hq.run(["test", "-e", "/run/systemd/system"], check=False).returncode == 1
        # What outlives its parent is reaped by PID 1.
        ssh(bed, "hq", "setsid sh -c 'sleep 0.1 & exit' > /dev/null 2>&1 < /dev/null")
        deadline = time.monotonic() + 60
        while "sleep" in hq.run(["ps", "-e", "-o", "comm="]).stdout and time.monotonic() < deadline:
            time.sleep(0.05)
        assert "sleep" not in hq.run(["ps", "-e", "-o", "comm="]).stdout
    assert traces(bed) == []


def test_both_hosts_are_up_within_two_seconds(bed_name: str, tmp_path: Path) -> None:
    started = time.monotonic()
    with Bed(bed_name, state=tmp_path):
        seconds = time.monotonic() - started
    # 0.8 s on an idle machine; a busy one is not a fault of the bed's.
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    assert seconds < 2 * max(1.0, load), f"{seconds:.2f} s at load {load:.1f} per processor"
