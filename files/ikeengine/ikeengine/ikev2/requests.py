# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The requests of one end of an IKE SA: a queue of tasks, one under way at a time, retransmitted until it is answered
(RFC 7296 §2.1, §2.2, §2.3)."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from ..ike.pace import Pace
from ..ike.state import State
from ..wire.constants import ExchangeType
from ..wire.header import Header
from .exchange import Task
from .informational import Liveness

if TYPE_CHECKING:
    from .session import Ikev2Session

_T = TypeVar("_T", bound=Task)
#: Seconds for which a peer that moves again and again gets another chance to answer a request at each place.
_MOST_PUT_OFF = 60.0


@dataclass(slots=True)
class Outstanding:
    """A request that waits for its answer. ``due`` is when it is sent again."""

    task: Task
    message_id: int
    datagrams: tuple[bytes, ...]
    due: float
    pace: Pace
    pause: float
    tries_left: int
    began: float

    def paced(self, pace: Pace, due: float) -> None:
        """Go on as if it were sent for the first time, at that pace, and again first when it is ``due``."""
        self.pace, self.pause, self.tries_left, self.due = pace, pace.first, pace.tries, due


class Requests:
    """The window is 1: a request begins when the one before it has been answered."""

    __slots__ = ("_next_id", "_postponed", "_queue", "_whose", "outstanding")

    def __init__(self, session: Ikev2Session) -> None:
        self._whose = weakref.ref(session)  # a session that has closed is gone at once, with its keys
        self._queue: deque[Task] = deque()
        self._postponed: list[tuple[float, Task]] = []
        self._next_id = 0
        self.outstanding: Outstanding | None = None

    @property
    def _session(self) -> Ikev2Session:
        session = self._whose()
        assert session is not None
        return session

    @property
    def current(self) -> Task | None:
        """The task under way."""
        return self.outstanding.task if self.outstanding else None

    @property
    def next_id(self) -> int:
        """The message identifier of the next request, after the one under way."""
        return self._next_id + (self.outstanding is not None)

    def has(self, kind: type[Task]) -> bool:
        """Whether such a task is under way or waits."""
        return any(isinstance(task, kind) for task in self.all())

    def all(self) -> list[Task]:
        """The task under way, and those that wait, in order; last those that wait for their time."""
        return [*([self.outstanding.task] if self.outstanding else []), *self._queue,
                *(task for _time, task in self._postponed)]

    def add(self, task: Task, now: float) -> None:
        """Run the task when those before it have ended."""
        self.add_all((task,), now)

    def add_all(self, tasks: Iterable[Task], now: float) -> None:
        self._queue.extend(tasks)
        self.proceed(now)

    def postpone(self, task: Task, time: float) -> None:
        """Run the task at that time, or when its turn comes after that."""
        self._postponed.append((time, task))

    def add_first(self, task: Task, now: float) -> None:
        self._queue.appendleft(task)
        self.proceed(now)

    def repeat_init(self, task: Task, now: float) -> None:
        """Send IKE_SA_INIT once more, under the same message identifier 0 (RFC 7296 §2.6, §2.7)."""
        self._next_id = 0
        self.add_first(task, now)

    def take(self, kind: type[_T]) -> _T | None:
        """Remove the first task of that kind from those that wait."""
        for task in self._queue:
            if isinstance(task, kind):
                self._queue.remove(task)
                return task
        return None

    def take_waiting(self) -> list[Task]:
        """Remove all tasks that wait."""
        tasks = [*self._queue, *(task for _time, task in self._postponed)]
        self._queue.clear()
        self._postponed.clear()
        return tasks

    def inherit(self, other: Requests) -> None:
        """Take over what waits in another IKE SA's queue; `proceed` begins it."""
        self._postponed.extend(other._postponed)
        other._postponed.clear()
        self._queue.extend(other.take_waiting())

    def clear(self) -> list[Task]:
        """Forget everything; what was there is returned."""
        tasks, self.outstanding = self.all(), None
        self.take_waiting()
        return tasks

    def next_timer(self) -> float | None:
        """When the request under way is sent again, or a postponed one has its time."""
        times = [time for time, _task in self._postponed]
        return min([*times, self.outstanding.due] if self.outstanding else times, default=None)

    def handle_timer(self, now: float) -> None:
        """Run what was postponed until now."""
        due = [task for time, task in self._postponed if time <= now]
        self._postponed = [row for row in self._postponed if row[0] > now]
        for task in due:
            self.add(task, now)

    def proceed(self, now: float) -> None:
        """Begin the next task, if none is under way."""
        session = self._session
        while self.outstanding is None and self._queue and session.state is not State.CLOSED:
            task = self._queue.popleft()
            payloads = task.request(session, now)
            if payloads is None:
                continue
            datagrams = session.encode(payloads, task.exchange, self._next_id, response=False)
            if task.exchange is ExchangeType.IKE_SA_INIT:
                session.init_request = datagrams[0]
            pace = self._pace(task)
            self.outstanding = Outstanding(task, self._next_id, datagrams, now + pace.first, pace, pace.first,
                                           pace.tries, now)
            self._send(self.outstanding, now)

    def repeat(self, now: float) -> bool:
        """Send what is under way once more at once, beside the times that it is sent anyway; False where nothing is."""
        if self.outstanding is not None:
            self.outstanding.due, self.outstanding.tries_left = now, self.outstanding.tries_left + 1
        return self.outstanding is not None

    def hurry(self, now: float) -> None:
        """Let the peer's silence show soon: repeat what is under way, or ask whether it lives."""
        pace, asks = Pace.of_doubt(self._session.context.settings), self.outstanding is None
        if asks:
            self.add(Liveness(), now)
        if self.outstanding is not None:
            self.outstanding.paced(pace, now + pace.first if asks else now)

    def _pace(self, task: Task) -> Pace:
        settings = self._session.context.settings
        detection = self._session.gateway.dead_peer_detection if self._session.gateway else None
        if self._session.established_at is None:
            return Pace.usual(settings, self._session.tries)
        return Pace.of_detection(settings, detection) if detection and self._asks(task) else Pace.usual(settings)

    def _asks(self, task: Task) -> bool:
        """Whether who leaves it unanswered for as long as is declared is dead: with another endpoint pair to go to,
        that holds for every request."""
        session = self._session
        return isinstance(task, Liveness) or (
            session.state is State.ESTABLISHED and session.gateway is not None and len(session.gateway.endpoints) > 1)

    def answered_by(self, header: Header) -> Outstanding | None:
        """The request that a response belongs to, if it is the one under way."""
        row = self.outstanding
        if row is None or (header.message_id, header.exchange) != (row.message_id, row.task.exchange):
            return None
        return row

    def done(self, row: Outstanding) -> None:
        """Its answer is there and authentic."""
        self.outstanding = None
        self._next_id = row.message_id + 1

    def resume(self, row: Outstanding) -> None:
        """What came was no answer: go on waiting for one."""
        self.outstanding = row
        self._next_id = row.message_id

    def renew(self, now: float, tries: int | None = None) -> None:
        """The path has changed: what is under way is sent again at once, as if for the first time, and again up to
        ``tries`` times."""
        row = self.outstanding
        if row is not None:
            pace = self._pace(row.task)
            row.paced(pace if tries is None else replace(pace, tries=tries), now)

    def follow(self, now: float) -> None:
        """As `renew`, where the peer has moved; it may not put off for ever what it does not answer."""
        row = self.outstanding
        if row is not None and now >= row.began + _MOST_PUT_OFF:
            row.due = now
        else:
            self.renew(now)

    def retransmit(self, row: Outstanding, now: float) -> bool:
        """Send it again, the next time later, with jitter; False when the last try is over."""
        if row.tries_left == 0:
            if not (self._asks(row.task) or self._session.doubted) or self._session.is_silent(now):
                return False
            row.paced(self._pace(row.task), now)  # its packets come
        row.tries_left -= 1
        row.pause, lasting = row.pace.after(row.pause, self._session.context)
        row.due = now + lasting
        self._send(row, now)
        return True

    def _send(self, row: Outstanding, now: float) -> None:
        for path in row.task.paths(self._session):
            for data in row.datagrams:
                self._session.transmit(data, now, path)
