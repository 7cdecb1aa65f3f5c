"""Names the points at which writing a dump can fail. Tests use them to make each point fail."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum


class FaultPoint(StrEnum):
    """A step of the writer that can fail."""

    READ_MEMORY = "read memory"
    """Reads one range of the target's memory."""
    CREATE = "create"
    """Creates the temporary file beside the dump."""
    WRITE = "write"
    """Writes a chunk to the file."""
    SEEK = "seek"
    """Moves the file position, or sets the length of the file."""
    FLUSH = "flush"
    """Flushes and closes the file."""
    RENAME = "rename"
    """Renames the complete temporary file to the dump's name."""


class Faults:
    """Raises ``error`` when ``point`` is reached for the ``index``-th time, counted from 0.

    ``reached`` counts how often each point was reached. A run without a fault gives the numbers to iterate over.
    """

    def __init__(self, point: FaultPoint | None = None, index: int = 0, error: BaseException | None = None) -> None:
        self._point = point
        self._index = index
        self._error = error or OSError("injected fault")
        self.reached: Counter[FaultPoint] = Counter()

    def reach(self, point: FaultPoint) -> None:
        """Count one passage of the point. Raises ``error`` if this passage is the one to fail."""
        index = self.reached[point]
        self.reached[point] += 1
        if point == self._point and index == self._index:
            raise self._error
