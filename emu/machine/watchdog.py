"""The last resort against guest code that never stops: host time.

Nothing else in the machine depends on the host's clock. A watchdog that strikes ends the whole run with an error, so
no output can ever differ because of it.
"""

import threading
import time
from collections.abc import Callable


class Watchdog:
    """Calls `stop` from a thread of its own when a watched stretch lasts longer than `limit` seconds.

    The thread starts with the first stretch, sleeps until the current deadline, and ends when idle. Arming costs next
    to nothing, unlike Unicorn's `timeout=`, which starts and polls a thread on every run (0.2 ms measured).
    """

    def __init__(self, limit: float, stop: Callable[[], None]) -> None:
        self._limit = limit
        self._stop = stop
        self._lock = threading.Lock()
        self._deadline: float | None = None
        self._watching = False
        self.struck = False

    def arm(self) -> None:
        """Begins a stretch."""
        with self._lock:
            self.struck = False
            self._deadline = time.monotonic() + self._limit
            if not self._watching:
                self._watching = True
                threading.Thread(target=self._watch, name="dumptruth-watchdog", daemon=True).start()

    def disarm(self) -> None:
        """Ends the stretch."""
        with self._lock:
            self._deadline = None

    def _watch(self) -> None:
        pause = self._limit
        while True:
            time.sleep(pause)
            with self._lock:
                if self._deadline is None:
                    self._watching = False
                    return
                pause = self._deadline - time.monotonic()
                if pause <= 0:
                    self.struck = True
                    self._stop()
                    pause = 0.01  # and again, until the run notices: a stop that comes just before it starts is lost
