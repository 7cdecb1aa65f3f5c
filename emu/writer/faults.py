"""Named points at which writing a dump can fail, so that tests make each fail without touching the writer's insides."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum


class FaultPoint(StrEnum):
    READ_MEMORY = "read memory"
    """One range of the target's memory is fetched."""
    CREATE = "create"
    """The temporary file beside the dump, or the reservation of its name, is made."""
    WRITE = "write"
    """A chunk goes to the file."""
    SEEK = "seek"
    """The file position moves, or the length of the file is set."""
    FLUSH = "flush"
    """What was written is handed to the system, the file is closed."""
    RENAME = "rename"
    """The complete temporary file takes the dump's name."""


class Faults:
    """Which passage of which point fails, and with which error.

    ``reached`` counts the passages of each point, so a run without a fault tells how many there are to walk.
    """

    def __init__(self, point: FaultPoint | None = None, index: int = 0, error: BaseException | None = None) -> None:
        self._point = point
        self._index = index
        self._error = error or OSError("injected fault")
        self.reached: Counter[FaultPoint] = Counter()

    def reach(self, point: FaultPoint) -> None:
        """Pass the point. Raises the armed error on the armed passage."""
        index = self.reached[point]
        self.reached[point] += 1
        if point == self._point and index == self._index:
            raise self._error
