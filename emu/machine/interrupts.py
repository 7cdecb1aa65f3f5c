"""Lets Ctrl-C and other signals end a run whose hooks are Python functions that the library calls.

Such a function cannot raise: ctypes gives the exception to ``sys.unraisablehook`` and goes on. A guest that never stops
spends most of its time in hooks, so nearly every signal would be lost.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any


class Interrupts:
    """Within its `with` block an exception of a signal's handler calls `stop`. It is raised at the end of the block."""

    def __init__(self, stop: Callable[[], object]) -> None:
        self._stop = stop
        self._plain: Callable[[Any], object] | None = None
        self._met: BaseException | None = None

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread():  # handlers run in no other thread
            self._plain, sys.unraisablehook = sys.unraisablehook, self._meet

    def __exit__(self, *_: object) -> None:
        if self._plain is not None:
            sys.unraisablehook, self._plain = self._plain, None
        met, self._met = self._met, None
        if met is not None:
            raise met

    def _meet(self, unraisable: Any) -> None:
        if isinstance(unraisable.exc_value, Exception) and self._plain is not None:
            self._plain(unraisable)
        else:
            self._met = unraisable.exc_value
            self._stop()
