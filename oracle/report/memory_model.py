"""The map of a target's memory as a value: stretches with their state, and what has a name."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from itertools import islice
from typing import NamedTuple

from ..model import Span


class State(StrEnum):
    """What a stretch of the target's memory is in the dump."""

    WRONG = "wrong"
    """There, with other bytes than the target's."""
    MISSING = "missing"
    """Not there, though the request requires it, or the dump itself names it."""
    FORBIDDEN = "forbidden"
    """There, though the request does not entitle the dump to it."""
    REQUIRED = "required"
    """There, as the request requires."""
    ALLOWED = "allowed"
    """There; it may be."""
    PRESENT = "present"
    """There; no truth says whether it should be."""
    ABSENT = "left out"
    """The target has it, the dump rightly does not."""

    @property
    def faulty(self) -> bool:
        return self in (State.WRONG, State.MISSING, State.FORBIDDEN)

    @property
    def there(self) -> bool:
        """The dump holds bytes for it."""
        return self not in (State.MISSING, State.ABSENT)


@dataclass(frozen=True, slots=True)
class MemoryRegion:
    """``[start, end)`` of the target's memory, in bytes."""

    start: int
    end: int
    state: State
    why: str
    """The clause that grants or forbids it; empty without truth."""
    offset: int | None
    """Where in the file its first byte is; None for what is not there."""

    @property
    def size(self) -> int:
        return self.end - self.start


class Landmark(NamedTuple):
    """Something with a name in the target's memory, as the dump tells."""

    start: int
    end: int
    name: str


@dataclass(frozen=True)
class MemoryMap:
    space: str
    """``virtual`` or ``physical``."""
    regions: tuple[MemoryRegion, ...]
    """Ascending, disjoint; what the target does not have is in none."""
    landmarks: tuple[Landmark, ...]
    """Ascending; they may overlap."""
    judged: bool
    """Whether a truth and a request said what belongs into the dump."""
    complete: bool = True
    """False when the file holds more runs than are looked at."""

    def total(self, state: State) -> int:
        """Bytes in that state."""
        return sum(region.size for region in self.regions if region.state is state)

    @cached_property
    def _in_file(self) -> list[tuple[int, MemoryRegion]]:
        """The regions that are there, by file offset."""
        return sorted(
            ((region.offset, region) for region in self.regions if region.offset is not None), key=lambda item: item[0]
        )

    def at_span(self, span: Span) -> Iterator[tuple[int, int]]:
        """The memory whose bytes are in ``span`` of the file, as ``[start, end)`` of addresses."""
        index = max(bisect_right(self._in_file, span.start, key=lambda item: item[0]) - 1, 0)
        for offset, region in islice(self._in_file, index, None):
            if offset >= span.end:
                break
            low, high = max(span.start - offset, 0), min(span.end - offset, region.size)
            if low < high:
                yield region.start + low, region.start + high

    def at_offset(self, offset: int) -> int | None:
        """The address whose byte is at ``offset`` of the file; None for a byte that is none of the target's."""
        index = bisect_right(self._in_file, offset, key=lambda item: item[0]) - 1
        if index < 0:
            return None
        start, region = self._in_file[index]
        return region.start + offset - start if offset < start + region.size else None


def landmarks_in(landmarks: Sequence[Landmark], start: int, end: int) -> list[str]:
    """The names of what lies in ``[start, end)``, in order, each once."""
    stop = bisect_right(landmarks, start, key=lambda mark: mark.start)
    while stop < len(landmarks) and landmarks[stop].start < end:
        stop += 1
    return list(dict.fromkeys(mark.name for mark in landmarks[:stop] if mark.end > start))
