# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ikeengine with a watch on its event loop: for how long it did not look whether anything else was to be done.

The first argument is a file; upon SIGUSR1 it gets, as JSON, the longest such time since the last SIGUSR1 in
milliseconds, by the clock and by the processor. All other arguments are the daemon's.
"""

from __future__ import annotations

import asyncio
import json
import os
import selectors
import signal
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "files" / "ikeengine"))

from ikeengine.__main__ import main


class Watched(selectors.EpollSelector):
    """An event loop calls ``select`` between any two rounds of what is due."""

    def __init__(self) -> None:
        super().__init__()
        self.longest = self.longest_busy = 0.0
        self._began = self._busy = None

    def select(self, timeout: float | None = None) -> list[Any]:
        if self._began is not None:
            self.longest = max(self.longest, time.monotonic() - self._began)
            self.longest_busy = max(self.longest_busy, time.thread_time() - self._busy)
        found = super().select(timeout)
        self._began, self._busy = time.monotonic(), time.thread_time()
        return found


class Policy(asyncio.DefaultEventLoopPolicy):
    """Gives every event loop the watch."""

    def __init__(self, watch: Watched) -> None:
        super().__init__()
        self._watch = watch

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.SelectorEventLoop(self._watch)


def run(report: Path) -> int:
    watch = Watched()

    def tell(_number: int, _frame: object) -> None:
        figures = {"ms": 1000 * watch.longest, "busy_ms": 1000 * watch.longest_busy}
        watch.longest = watch.longest_busy = 0.0
        unfinished = report.with_suffix(".part")
        unfinished.write_text(json.dumps(figures))
        os.replace(unfinished, report)

    signal.signal(signal.SIGUSR1, tell)
    asyncio.set_event_loop_policy(Policy(watch))
    return main(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1])))
