"""Which thread runs next, and what time it is.

Round robin over the ready threads. The clock is virtual: a service costs ``SERVICE_COST``, a used-up quantum one clock
tick, and when every thread waits the clock jumps to the first deadline. So a run is the same on every machine.
"""

from __future__ import annotations

from collections import deque

from .objects import KernelObject, Thread, Wait
from .system import TICK
from .winnt import Status

SERVICE_COST = 20
"""Kernel time of one service, 2 us in 100 ns units."""
USER_COST = 10
"""User time charged between two services, 1 us."""
SERVICES_PER_TURN = 256
"""A thread that never computes long enough to be preempted goes to the back of the queue after so many services."""


class Scheduler:
    def __init__(self, start_time: int) -> None:
        self.now = start_time
        self.threads: list[Thread] = []
        """Living threads in creation order."""
        self._ready: deque[Thread] = deque()

    # --- time

    def charge_service(self, thread: Thread) -> None:
        thread.kernel_time += SERVICE_COST
        thread.user_time += USER_COST
        self.now += SERVICE_COST + USER_COST

    def charge_quantum(self, thread: Thread) -> None:
        thread.user_time += TICK
        self.now += TICK

    # --- ready and waiting

    def add(self, thread: Thread) -> None:
        self.threads.append(thread)
        self.make_ready(thread)

    def make_ready(self, thread: Thread) -> None:
        """To the back of the queue; a suspended thread only once it is resumed."""
        if not thread.suspend_count and not thread.exited and thread not in self._ready:
            self._ready.append(thread)

    def pick(self) -> Thread | None:
        """The next thread to run; when all wait, time passes until one need not. None: they wait for ever."""
        self.expire()
        if not self._ready:
            deadlines = [wait.deadline for wait in self._waits() if wait.deadline is not None]
            if not deadlines:
                return None
            self.now = max(self.now, min(deadlines))
            self.expire()
        return self._ready.popleft() if self._ready else None

    @property
    def anyone_ready(self) -> bool:
        return bool(self._ready)

    def is_ready(self, thread: Thread) -> bool:
        return thread in self._ready

    def block(self, wait: Wait) -> None:
        """The thread leaves the processor until the wait is satisfied or its deadline passes."""
        wait.thread.wait = wait
        for waited in wait.objects:
            waited.waits.append(wait)
            waited.references += 1

    def wake(self, thread: Thread, status: int) -> None:
        wait, thread.wait = thread.wait, None
        if wait is not None:
            for waited in wait.objects:
                waited.waits.remove(wait)
                waited.references -= 1
        thread.wake_status = status
        self.make_ready(thread)

    def signal(self, target: KernelObject) -> None:
        """``target`` may have become signaled: satisfy its waits, first come first served."""
        for wait in list(target.waits):
            status = wait.try_satisfy()
            if status is not None:
                self.wake(wait.thread, status)

    def expire(self) -> None:
        """End the waits whose deadline has come, in creation order of their threads."""
        for wait in self._waits():
            if wait.deadline is not None and wait.deadline <= self.now:
                # A delay that is over succeeded; a wait that is over timed out.
                self.wake(wait.thread, Status.TIMEOUT if wait.objects else Status.SUCCESS)

    def _waits(self) -> list[Wait]:
        return [thread.wait for thread in self.threads if thread.wait is not None]

    # --- suspending and ending

    def suspend(self, thread: Thread) -> int:
        """Returns the suspend count before."""
        thread.suspend_count += 1
        if thread in self._ready:
            self._ready.remove(thread)
        return thread.suspend_count - 1

    def resume(self, thread: Thread, *, running: bool) -> int:
        """Returns the suspend count before. ``running``: the thread is on the processor."""
        previous = thread.suspend_count
        if previous:
            thread.suspend_count -= 1
            if not thread.suspend_count and thread.wait is None and not running:
                self.make_ready(thread)
        return previous

    def terminate(self, thread: Thread, status: int) -> None:
        """The thread ends: its waits go, its mutants are abandoned, who waited for it wakes."""
        if thread.wait is not None:
            self.wake(thread, status)
        if thread in self._ready:
            self._ready.remove(thread)
        thread.exit_status = status
        thread.exit_time = self.now
        self.threads.remove(thread)
        for mutant in thread.mutants:
            mutant.abandon()
            self.signal(mutant)
        thread.mutants.clear()
        self.signal(thread.object)
