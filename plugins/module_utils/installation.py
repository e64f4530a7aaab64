# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts the daemon on a host, and takes it away: release, launchers, user, unit, forwarding.

Each part is compared before it is touched, so check mode and idempotence are one thing. Speaks Python 3.8, so that a
host whose Python is too old is told so in a sentence.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import pwd
import shutil
import signal
import sys
import tarfile
import time
from pathlib import Path

from . import control

ROOT = Path("/opt/ikeengine")
CURRENT = ROOT / "current"
USER = "ikeengine"
UNIT = Path("/etc/systemd/system/ikeengine.service")
SYSCTL = Path("/etc/sysctl.d/60-ikeengine.conf")
LAUNCHERS = {Path("/usr/local/sbin/ikeengine"): "ikeengine", Path("/usr/local/sbin/ikectl"): "ikeengine.cli"}
LEFT_BEHIND = (Path("/etc/ikeengine"), Path("/run/ikeengine"), Path("/var/log/ikeengine.log"), ROOT)
MINIMUM = (3, 11)
_KEPT_RELEASES = 2
_FORWARDING = {"ipv4": "net.ipv4.ip_forward", "ipv6": "net.ipv6.conf.all.forwarding"}
_LAUNCHER = """\
#!{python} -I
# Written by tandem.vpn.ipsec_engine.
import os, runpy, sys
release = os.path.realpath("/opt/ikeengine/current")
sys.path[:0] = [release, os.path.join(release, "site-packages")]
runpy.run_module("{module}", run_name="__main__", alter_sys=True)
"""


class InstallationError(Exception):
    """The host cannot take the daemon, or did not; the message says why."""


class Changes:
    """What differed, by field, before and after; and whether it is to be done."""

    def __init__(self, check_mode):
        self.check_mode = check_mode
        self.before, self.after = {}, {}

    def note(self, field, before, after):
        """Note a difference; returns whether to act on it."""
        if before == after:
            return False
        self.before[field], self.after[field] = before, after
        return not self.check_mode

    def result(self, **more):
        return {"changed": bool(self.after), "diff": {"before": self.before, "after": self.after}, **more}


def converge(wanted, check_mode, run_command):
    """Bring the host to what the module's options say; returns the module's result. Raises InstallationError.

    ``needs_archive`` in the result is the identity of the release that the host lacks, and nothing was touched.
    """
    changes = Changes(check_mode)
    if wanted["state"] == "absent":
        _remove(changes, run_command)
        return changes.result(release="", restart=False, supervisor=_supervisor("auto"), abilities={})
    _check_python()
    supervisor = _supervisor(wanted["supervisor"])
    identity = {"source": wanted["source"], "dependencies": wanted["dependencies"], "python": _version(),
                "machine": platform.machine(), "libc": "-".join(platform.libc_ver())}
    release = _installed(identity)
    if release is None and not (check_mode or wanted["archive"]):
        return {"changed": True, "needs_archive": identity}
    try:
        _user(changes, run_command)
        restart = _release(changes, release, wanted, run_command)
        _launchers(changes, wanted["dependencies"])
        restart = (supervisor == "systemd" and _unit(changes, wanted, run_command)) or restart
        _forwarding(changes, wanted["families"])
    except OSError as error:
        raise InstallationError(f"{error.filename}: {error.strerror}") from None
    return changes.result(release=release or wanted["checksum"] or "", restart=restart, supervisor=supervisor,
                          abilities=_abilities(check_mode, run_command))


def _check_python():
    if sys.version_info < MINIMUM:
        names = [f"python3.{minor}" for minor in range(11, 20)]
        found = [path for path in (shutil.which(name) for name in names) if path]
        hint = "set ansible_python_interpreter to " + found[-1] if found else \
            "install Python 3.11 or later and set ansible_python_interpreter to it"
        raise InstallationError("ikeengine needs Python 3.11 or later on the host, and "
                                f"{sys.executable} is {platform.python_version()}: {hint}")


def _version():
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _supervisor(asked):
    """What sd_booted(3) says, unless asked otherwise."""
    if asked != "auto":
        return asked
    return "systemd" if os.path.isdir("/run/systemd/system") else "command"


def _installed(identity):
    """The SHA-256 of the release in force where it is the wanted one, else None."""
    try:
        found = json.loads((CURRENT / "release.json").read_text())
    except (OSError, ValueError):
        return None
    return CURRENT.resolve().name if found == identity else None


def _release(changes, installed, wanted, run_command):
    before = CURRENT.resolve().name if CURRENT.exists() else "absent"
    after = installed or wanted["checksum"] or f"built from source {wanted['source']}"
    if not changes.note("release", before, after):
        return before != after
    archive, checksum = Path(wanted["archive"]), wanted["checksum"]
    if hashlib.sha256(archive.read_bytes()).hexdigest() != checksum:
        raise InstallationError(f"the archive arrived damaged: its SHA-256 is not {checksum}")
    releases = ROOT / "releases"
    releases.mkdir(parents=True, exist_ok=True)
    target, partial = releases / checksum, releases / f".{checksum}"
    shutil.rmtree(str(partial), ignore_errors=True)
    shutil.rmtree(str(target), ignore_errors=True)
    partial.mkdir()
    try:
        with tarfile.open(str(archive)) as tar:
            tar.extractall(str(partial), **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
        if wanted["dependencies"] == "venv":
            _make_venv(partial, run_command)
        _try_out(partial, wanted["dependencies"], run_command)
        partial.rename(target)
    except BaseException:
        shutil.rmtree(str(partial), ignore_errors=True)
        raise
    _link(target)
    _prune(releases, target)
    return True


def _python(release, dependencies):
    return str(release / "venv/bin/python") if dependencies == "venv" else sys.executable


def _make_venv(release, run_command):
    wheels = release / "wheels"
    source = ["--no-index", "--find-links", str(wheels)] if wheels.is_dir() else []
    python = _python(release, "venv")
    for command in ([sys.executable, "-m", "venv", str(release / "venv")],
                    [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:",
                     *source, "-r", str(release / "requirements.txt")]):
        status, _out, error = run_command(command)
        if status:
            raise InstallationError(f"{' '.join(command[:4])} failed: {error.strip()}. Where the host has no "
                                    "package index use wheel_dir, or dependencies: bundled")


def _try_out(release, dependencies, run_command):
    """Load the whole daemon once: it is known to run here before it is in force, and its bytecode is compiled."""
    script = ("import sys; sys.path[:0] = sys.argv[1:]; import ikeengine.cli, ikeengine.daemon.service")
    status, _out, error = run_command([_python(release, dependencies), "-I", "-c", script, str(release),
                                       str(release / "site-packages")])
    if status:
        reason = error.strip().splitlines()[-1:] or ["it gave no reason"]
        raise InstallationError("ikeengine does not load on this host, and what was installed stays in force: "
                                + reason[0])


def _link(target):
    temporary = CURRENT.with_name(".current")
    if temporary.is_symlink():
        temporary.unlink()
    temporary.symlink_to(target)
    os.replace(str(temporary), str(CURRENT))


def _prune(releases, current):
    others = sorted((path for path in releases.iterdir() if path != current), key=lambda path: path.stat().st_mtime)
    for path in others[:max(0, len(others) - (_KEPT_RELEASES - 1))]:
        shutil.rmtree(str(path))


def _launchers(changes, dependencies):
    python = _python(CURRENT, dependencies)
    for path, module in LAUNCHERS.items():
        _file(changes, path, _LAUNCHER.format(python=python, module=module), 0o755)


def _unit(changes, wanted, run_command):
    source = CURRENT / "ikeengine.service"
    text = source.read_text() if source.exists() else "(from the release)"
    if _file(changes, UNIT, text, 0o644):
        if not changes.check_mode:
            run_command(["systemctl", "daemon-reload"], check_rc=True)
        return True
    return False


def _file(changes, path, text, mode):
    """Write the file where it differs; returns whether it does."""
    before = _fingerprint(path.read_bytes(), path.stat().st_mode & 0o777) if path.exists() else "absent"
    after = _fingerprint(text.encode(), mode)
    if changes.note(str(path), before, after):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.new")
        temporary.write_text(text)
        temporary.chmod(mode)
        os.replace(str(temporary), str(path))
    return before != after


def _fingerprint(content, mode):
    return f"mode {mode:o}, SHA-256 {hashlib.sha256(content).hexdigest()}"


def _abilities(check_mode, run_command):
    """What the host can do: as its daemon knows, or as the launcher finds out; empty where there is neither. The
    launcher makes devices and loads modules to find out, so check mode does without."""
    try:
        return control.request("abilities")["dataplanes"]
    except (control.ControlError, KeyError):
        pass
    launcher = next(iter(LAUNCHERS))
    if check_mode or not (launcher.exists() and CURRENT.exists()):
        return {}
    status, out, _error = run_command([str(launcher), "--abilities"])
    return json.loads(out)["dataplanes"] if status == 0 else {}


def _has_user():
    try:
        pwd.getpwnam(USER)
    except KeyError:
        return False
    return True


def _user(changes, run_command):
    if changes.note("user", "present" if _has_user() else "absent", "present"):
        run_command(["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent",
                     "--shell", "/usr/sbin/nologin", USER], check_rc=True)


def _knob(name):
    return Path("/proc/sys") / name.replace(".", "/")


def _forwarding(changes, families):
    """The kernel's switches, now and at boot. What they were stands in the file, for the way back."""
    names = [_FORWARDING[family] for family in families]
    found = {name: _knob(name).read_text().strip() for name in names}
    for name, value in found.items():
        if changes.note(name, value, "1"):
            _knob(name).write_text("1")
    before = _forwarding_before()
    lines = ["# Written by tandem.vpn.ipsec_engine. Before: " + json.dumps({**found, **before}, sort_keys=True)]
    if names:
        _file(changes, SYSCTL, "\n".join(lines + [name + " = 1" for name in names]) + "\n", 0o644)


def _forwarding_before():
    try:
        return json.loads(SYSCTL.read_text().splitlines()[0].partition("Before: ")[2])
    except (OSError, ValueError, IndexError):
        return {}


def _remove(changes, run_command):
    if UNIT.exists() and changes.note("service", "present", "absent"):
        if os.path.isdir("/run/systemd/system"):
            run_command(["systemctl", "disable", "--now", UNIT.name], check_rc=True)
        UNIT.unlink()
        if os.path.isdir("/run/systemd/system"):
            run_command(["systemctl", "daemon-reload"])
            run_command(["systemctl", "reset-failed", UNIT.name])
    _stop(changes)
    launcher = next(iter(LAUNCHERS))
    if launcher.exists() and CURRENT.exists() and not changes.check_mode:
        # What a daemon left that was killed, or stopped by its unit: without it nobody knows how to take it away.
        status, _out, error = run_command([str(launcher), "--flush"])
        if status:
            raise InstallationError(
                f"{launcher} --flush failed, so what blocks and routes traffic on this host may still stand, and the "
                f"daemon stays installed: {error.strip() or f'exit status {status}'}. Mend that and run this again; or "
                f"delete {launcher}, run this again, and restart the host, which forgets all of it")
    for name, value in _forwarding_before().items():
        if changes.note(name, _knob(name).read_text().strip(), value):
            _knob(name).write_text(value)
    for path in (*LAUNCHERS, SYSCTL, *LEFT_BEHIND):
        if path.exists() and changes.note(str(path), "present", "absent"):
            if path.is_dir():
                shutil.rmtree(str(path))
            else:
                path.unlink()
    if changes.note("user", "present" if _has_user() else "absent", "absent"):
        run_command(["userdel", USER], check_rc=True)


def _stop(changes, patience=10.0):
    """End a daemon that no unit runs; on SIGTERM it sends its peers a DELETE and clears what it installed."""
    try:
        pid = int(control.request("status")["daemon"]["pid"])
    except control.ControlError:
        return
    if not changes.note("daemon", "running", "stopped"):
        return
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + patience
    while os.path.exists(f"/proc/{pid}"):
        if time.monotonic() > deadline:
            raise InstallationError(f"ikeengine, process {pid}, did not stop within {patience:g} s")
        time.sleep(0.02)
