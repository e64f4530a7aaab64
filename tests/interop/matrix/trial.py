# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One cell: both ends come up as declared, traffic passes both ways, also after what is rekeyed, and all goes down."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable

from ansible_collections.tandem.vpn.plugins.module_utils.vpn import rules
from ansible_collections.tandem.vpn.plugins.module_utils.vpn.declaration import read

from tests.interop.matrix.axes import AGGRESSIVE, ENDS, FALLBACK, KEEP_ALIVE, MAIN, NONE, ON, USERSPACE, V2, Cell
from tests.interop.matrix.declared import ROUTES, declare, suites
from tests.interop.matrix.ends import End, Held, Ours, StrongSwan
from tests.interop.matrix.stage import Stage
from tests.interop.site import Lan, eventually

PINGS = 2
SETTLE_SECONDS = 30
QUICK_MODE_SECONDS = 0.5
"""After which the initiator of an IKEv1 rekey sends on the new SA (`Settings.quick_mode_grace`)."""
EXCHANGES = {V2: "IKE_AUTH", MAIN: "ID_PROT", AGGRESSIVE: "AGGRESSIVE", FALLBACK: "AGGRESSIVE"}
"""The one that authenticates, as strongSwan calls it."""


def attempt(cell: Cell, stage: Stage) -> None:
    """Raises AssertionError, ControlError or CommandFailed with what went wrong."""
    Trial(cell, *stage.ends(cell)).run()


class Trial:
    def __init__(self, cell: Cell, near: Ours, far: End) -> None:
        self.cell, self.near, self.far = cell, near, far
        self.by_name: dict[str, End] = dict(zip(ENDS, (near, far), strict=True))
        self.lans = ROUTES[cell.route]

    def run(self) -> None:
        validate(self.cell)
        for name, end in self.by_name.items():
            end.clear()
            end.load(declare(self.cell, name), fragmentation=self.cell.fragmentation == ON, esn=self.cell.esn == ON)
        initiator = self.by_name[self.cell.initiator]
        begun = len(self.far.log)
        initiator.up()
        self.carries()
        self.agreed()
        if isinstance(self.far, StrongSwan):
            self.heard(self.far.log[begun:])
        if self.cell.beyond == KEEP_ALIVE:
            self.kept_alive()
        what, _, who = self.cell.rekey.partition(", ")
        if what in ("IKE", "both"):
            self.rekeyed(self.by_name[who].rekey_ike, lambda old, new: not set(old.ike) & set(new.ike))
        if what in ("child", "both"):
            self.rekeyed(self.by_name[who].rekey_children, lambda old, new: not old.children.keys() & new.children)
        self.pfs(rekeyed=what in ("child", "both"))
        initiator.down()
        for end in self.by_name.values():
            eventually(lambda end=end: end.held() == Held((), {}), lambda end=end: f"not down: {end.held()}")

    def agreed(self) -> None:
        (ike,), children = self.near.listed()
        phase1, phase2 = suites(self.cell)
        assert ike["suite"] == phase1, f"Phase 1: {ike['suite']} in the place of {phase1}"
        assert {sa["esp"] for sa in children} == {phase2}, f"Phase 2: {children} in the place of {phase2}"
        assert ike["initiator"] == (self.cell.initiator == "near"), ike
        assert ike["version"] == (2 if self.cell.mode == V2 else 1), ike
        in_udp = self.cell.nat != NONE or self.cell.dataplane == USERSPACE
        assert {sa["encapsulation"] for sa in children} == {"udp" if in_udp else None}, children
        assert {sa["extended_sequence_numbers"] for sa in children} == {self.cell.esn == ON}, children

    def heard(self, log: str) -> None:
        """strongSwan tells of the exchanges, and that both ends send their messages in fragments, or neither does."""
        assert f" {EXCHANGES[self.cell.mode]} request " in log, log
        for words in ("splitting IKE message", "received fragment"):
            assert (words in log) == (self.cell.fragmentation == ON), f"{words}: {log}"

    def kept_alive(self) -> None:
        """IKE messages pass both ways while nothing else is to be said."""
        before = self.settled()
        for end in self.by_name.values():
            assert isinstance(end, Ours)
            heard = end.received
            eventually(lambda end=end, heard=heard: end.received >= heard + 2, lambda: "no IKE keep-alive is heard",
                       SETTLE_SECONDS)
        assert self.settled() == before

    def rekeyed(self, begin: Callable[[], None], renewed: Callable[[Held, Held], bool]) -> None:
        before = self.settled()
        begin()
        eventually(lambda: renewed(before, self.settled()), lambda: f"not rekeyed: {self.near.held()}", SETTLE_SECONDS)
        if self.cell.mode != V2:
            time.sleep(QUICK_MODE_SECONDS)
        self.carries()

    def pfs(self, *, rekeyed: bool) -> None:
        """IKEv2's first SA pair has no key exchange of its own (RFC 7296 section 1.2)."""
        if isinstance(self.far, StrongSwan) and (rekeyed or self.cell.mode != V2):
            groups = self.far.pfs_groups()
            assert groups == {self.cell.pfs}, f"PFS: strongSwan has {groups} in the place of {self.cell.pfs}"

    def settled(self) -> Held:
        """Wait until both ends hold one IKE SA and one SA pair for each route, crosswise, and nothing else."""
        snapshot: list[Held] = []

        def agree() -> bool:
            near = self.near.held()
            if len(near.ike) != 1 or len(near.children) != len(self.lans):
                return False
            far = self.far.held()
            snapshot.append(near)
            return near.ike == far.ike and self._crosswise(near, far)

        eventually(agree, lambda: f"the ends do not agree: {self.near.held()}, {self.far.held()}", SETTLE_SECONDS)
        return snapshot[-1]

    def _crosswise(self, near: Held, far: Held) -> bool:
        declared = {(local.network, remote.network) for local, remote in self.lans}
        return {(sa.local, sa.remote) for sa in near.children.values()} == declared and {
            (sa.spi_in, sa.spi_out, sa.local, sa.remote) for sa in near.children.values()} == {
            (sa.spi_out, sa.spi_in, sa.remote, sa.local) for sa in far.children.values()}

    def carries(self) -> Held:
        """Pings from both ends over every route are answered, and both ends count them in their SAs."""
        before = self.settled(), self.far.held()
        pings = [ping(end, source, target) for near, far in self.lans
                 for end, source, target in ((self.near, near, far), (self.far, far, near))]
        for each in pings:
            said = each.communicate(timeout=30)[0]
            assert len(re.findall("icmp_seq=", said)) == PINGS and " 0% packet loss" in said, f"no traffic: {said}"
        after = self.settled(), self.far.held()
        passed = 2 * PINGS  # requests of one end's pings and answers to the other's, each way
        for old, new in zip(before, after, strict=True):
            counted = {(sa.packets_in - old.children[spi].packets_in, sa.packets_out - old.children[spi].packets_out)
                       for spi, sa in new.children.items()}
            assert counted == {(passed, passed)}, f"{passed} packets each way, counted {counted}"
        return after[0]


def validate(cell: Cell) -> None:
    """Both declarations are sound by themselves and fit each other."""
    ends = [declare(cell, end, start="boot" if end == cell.initiator else "answer") for end in ENDS]
    errors = rules.validate([read(end.data, secrets=end.secrets) for end in ends]).errors
    assert errors == (), "; ".join(finding.message for finding in errors)


def ping(end: End, source: Lan, target: Lan) -> subprocess.Popen[str]:
    argv = ["ping", "-n", "-c", str(PINGS), "-l", str(PINGS), "-W", "3", "-I", source.host, target.host]
    return subprocess.Popen([*end.namespace.entry, *argv], text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT)
