"""Chooses the next thread and keeps the virtual time.

Ready threads run in turn (round robin). A service costs ``SERVICE_COST`` and ``USER_COST``, a used-up quantum one clock
tick. If every thread waits, the clock moves to the first deadline. So a run is the same on every host.
"""

from __future__ import annotations

from collections import deque

from .objects import KernelObject, Thread, Timer, Wait
from .system import TICK
from .winnt import Status

SERVICE_COST = 20
"""Kernel time of one service in units of 100 ns: 2 us."""
USER_COST = 10
"""User time between two services in units of 100 ns: 1 us."""
SERVICES_PER_TURN = 256
"""Number of services after which a thread moves to the end of the queue, even if its quantum is not used up."""


class Scheduler:
    """The threads of a process and its clock. ``start_time`` and ``now`` are FILETIMEs."""

    def __init__(self, start_time: int) -> None:
        self.now = start_time
        self.threads: list[Thread] = []
        """Living threads in creation order."""
        self._ready: deque[Thread] = deque()
        self._timers: list[Timer] = []

    # --- time

    def charge_service(self, thread: Thread) -> None:
        """Add the cost of one service to the thread's times and to the clock."""
        thread.kernel_time += SERVICE_COST
        thread.user_time += USER_COST
        self.now += SERVICE_COST + USER_COST

    def charge_quantum(self, thread: Thread) -> None:
        """Add a used-up quantum to the thread's user time and to the clock."""
        thread.user_time += TICK
        self.now += TICK

    # --- ready and waiting

    def add(self, thread: Thread) -> None:
        """Add a new thread to the queue."""
        self.threads.append(thread)
        self.make_ready(thread)

    def make_ready(self, thread: Thread) -> None:
        """Append the thread to the queue, unless it is suspended, has ended, or is in the queue already."""
        if not thread.suspend_count and not thread.exited and thread not in self._ready:
            self._ready.append(thread)

    def pick(self) -> Thread | None:
        """The next thread to run; None for a deadlock. If all threads wait, moves the clock to the first deadline."""
        self.expire()
        if not self._ready:
            deadlines = [wait.deadline for wait in self._waits() if wait.deadline is not None]
            deadlines += [timer.due for timer in self._timers if timer.due is not None and timer.waits]
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
        """Block the wait's thread until the wait is satisfied or its deadline passes."""
        wait.thread.wait = wait
        for waited in wait.objects:
            waited.waits.append(wait)
            waited.references += 1

    def wake(self, thread: Thread, status: int) -> None:
        """End the thread's wait. ``status`` becomes the return value of its blocking service."""
        wait, thread.wait = thread.wait, None
        if wait is not None:
            for waited in wait.objects:
                waited.waits.remove(wait)
                waited.references -= 1
        thread.wake_status = status
        self.make_ready(thread)

    def signal(self, target: KernelObject) -> None:
        """Satisfy waits for ``target``, in order of arrival. Call it after ``target`` may have become signaled."""
        for wait in list(target.waits):
            status = wait.try_satisfy()
            if status is not None:
                self.wake(wait.thread, status)

    def expire(self) -> None:
        """Fire the timers that are due, and end the waits whose deadline has passed, both in order of creation."""
        for timer in list(self._timers):
            if timer.due is not None and timer.due <= self.now:
                self._fire(timer)
        for wait in self._waits():
            if wait.deadline is not None and wait.deadline <= self.now:
                # A delay without objects ends with SUCCESS, a wait for objects with TIMEOUT.
                timed_out = wait.objects or wait.thread.alertable_by_id
                wait.thread.alertable_by_id = False
                self.wake(wait.thread, Status.TIMEOUT if timed_out else Status.SUCCESS)

    # --- timers

    def set_timer(self, timer: Timer, due: int, period: int) -> None:
        """Signal the timer at ``due``, and again after each ``period`` if that is not 0."""
        timer.signaled, timer.due, timer.period = False, due, period
        if timer not in self._timers:
            self._timers.append(timer)
        self.expire()

    def stop_timer(self, timer: Timer) -> None:
        """Forget the timer. Its state stays."""
        timer.due = None
        if timer in self._timers:
            self._timers.remove(timer)

    def _fire(self, timer: Timer) -> None:
        assert timer.due is not None
        if timer.period:
            timer.due += (1 + (self.now - timer.due) // timer.period) * timer.period
        else:
            self.stop_timer(timer)
        timer.signaled = True
        self.signal(timer)

    def _waits(self) -> list[Wait]:
        return [thread.wait for thread in self.threads if thread.wait is not None]

    # --- suspending and ending

    def suspend(self, thread: Thread) -> int:
        """Suspend the thread. Returns the previous suspend count."""
        thread.suspend_count += 1
        if thread in self._ready:
            self._ready.remove(thread)
        return thread.suspend_count - 1

    def resume(self, thread: Thread, *, running: bool) -> int:
        """Resume the thread. Returns the previous suspend count. ``running``: whether it is on the processor."""
        previous = thread.suspend_count
        if previous:
            thread.suspend_count -= 1
            if not thread.suspend_count and thread.wait is None and not running:
                self.make_ready(thread)
        return previous

    def terminate(self, thread: Thread, status: int) -> None:
        """End the thread: cancel its wait, abandon its mutexes and wake the threads that wait for it."""
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
