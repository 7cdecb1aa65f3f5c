"""Limits the host time of a run, as the last resort against guest code that never stops.

Nothing else in the machine depends on the host's clock. At the limit the whole run fails with an error, so the
host's speed never changes an output.
"""

import errno
import threading
import time
from collections.abc import Callable


class Watchdog:
    """Calls `stop` from a separate thread if more than `limit` seconds pass between `arm` and `disarm`.

    The thread starts with the first `arm`, sleeps until the current deadline, and ends when idle. `arm` is cheap.
    Unicorn's `timeout=` starts and polls a thread on every run (0.2 ms measured).
    """

    def __init__(self, limit: float, stop: Callable[[], None]) -> None:
        self._limit = limit
        self._stop = stop
        self._lock = threading.Lock()
        self._deadline: float | None = None
        self._watching = False
        self.struck = False

    def arm(self) -> None:
        """Starts the time limit. Raises OSError if the host starts no thread."""
        with self._lock:
            self.struck = False
            self._deadline = time.monotonic() + self._limit
            if not self._watching:
                try:
                    threading.Thread(target=self._watch, name="dumptruth-watchdog", daemon=True).start()
                except RuntimeError as error:  # Python does not say why the system refuses
                    raise BlockingIOError(errno.EAGAIN, f"the emulator cannot start ({error})") from error
                self._watching = True

    def disarm(self) -> None:
        """Ends the time limit."""
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
                    pause = 0.01  # repeats the stop, since a stop just before the start of a run is lost
