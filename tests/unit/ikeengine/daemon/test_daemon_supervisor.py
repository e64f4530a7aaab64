# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the daemon says to systemd, and what it gets from it."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from ikeengine.daemon import supervisor


def test_ready_reaches_the_supervisors_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        supervisor.notify("READY=1")
        assert sock.recv(100) == b"READY=1"
        supervisor.notify_reloading()
        assert sock.recv(100).startswith(b"RELOADING=1\nMONOTONIC_USEC=")


def test_an_abstract_socket_serves_too(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("\0ikeengine-supervisor-test")
        monkeypatch.setenv("NOTIFY_SOCKET", "@ikeengine-supervisor-test")
        supervisor.notify("STOPPING=1")
        assert sock.recv(100) == b"STOPPING=1"


def test_without_a_supervisor_all_is_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    supervisor.notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    supervisor.notify("READY=1")


@pytest.mark.parametrize(("limit", "interval"), [("30000000", 15.0), ("0", None), ("soon", None), (None, None)])
def test_signs_of_life_come_twice_as_often_as_asked(limit: str | None, interval: float | None,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    if limit is not None:
        monkeypatch.setenv("WATCHDOG_USEC", limit)
    assert supervisor.watchdog_interval() == interval


def test_credentials_and_the_runtime_directory_are_the_supervisors(tmp_path: Path,
                                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "declaration.json").write_text("{}")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/run/one:/run/two")
    assert supervisor.credential("declaration.json") == tmp_path / "declaration.json"
    assert supervisor.credential("secrets.json") is None
    assert supervisor.runtime_directory() == Path("/run/one")
