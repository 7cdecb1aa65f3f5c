"""The map of a target's memory as values: regions with their state, and landmarks with their names."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from operator import itemgetter
from typing import NamedTuple

from ..model import Span, Unjudged


class State(StrEnum):
    """The state of a region of the target's memory in the dump."""

    __hash__ = str.__hash__
    """Enum's own is written in Python, and each region is counted by its state."""

    WRONG = "wrong"
    """Captured, with other bytes than the target's."""
    MISSING = "missing"
    """Not captured, although the request requires it or the dump lists it."""
    FORBIDDEN = "forbidden"
    """Captured, although the request does not allow it."""
    REQUIRED = "required"
    """Captured, as the request requires."""
    ALLOWED = "allowed"
    """Captured, as the request allows."""
    PRESENT = "present"
    """Captured; without a truth nothing says whether it should be."""
    ABSENT = "left out"
    """Memory of the target that the dump does not need and does not hold."""

    @property
    def faulty(self) -> bool:
        return self in (State.WRONG, State.MISSING, State.FORBIDDEN)

    @property
    def there(self) -> bool:
        """Whether the dump holds bytes of it."""
        return self not in (State.MISSING, State.ABSENT)


class MemoryRegion(NamedTuple):
    """``[start, end)`` of the target's memory, in bytes."""

    start: int
    end: int
    state: State
    why: str
    """The clause that requires, allows or forbids it; empty without truth."""
    offset: int | None
    """File offset of its first byte; None if it is not captured."""

    @property
    def size(self) -> int:
        return self.end - self.start


class Landmark(NamedTuple):
    """A named range of the target's memory, as the dump describes it."""

    start: int
    end: int
    name: str


@dataclass(frozen=True)
class MemoryMap:
    space: str
    """``virtual`` or ``physical``."""
    regions: tuple[MemoryRegion, ...]
    """Ascending and disjoint. Memory that the target does not have is in none of them."""
    landmarks: tuple[Landmark, ...]
    """Ascending; they may overlap."""
    judged: bool
    """Whether a truth and a request define what the dump must hold."""
    unjudged: tuple[Unjudged, ...] = ()
    """What the map does not show, because the work is limited."""

    @property
    def complete(self) -> bool:
        """Whether the map shows all memory that was read."""
        return not self.unjudged

    def total(self, state: State) -> int:
        """Bytes in the state ``state``."""
        return self._totals[state]

    @cached_property
    def _totals(self) -> Counter[State]:
        found: Counter[State] = Counter()
        for start, end, state, _, _ in self.regions:
            found[state] += end - start
        return found

    @cached_property
    def _in_file(self) -> list[tuple[int, MemoryRegion]]:
        """The captured regions in the order of their file offsets."""
        return sorted(
            ((region.offset, region) for region in self.regions if region.offset is not None), key=itemgetter(0)
        )

    def at_span(self, span: Span) -> Iterator[tuple[int, int]]:
        """Address ranges ``[start, end)`` whose bytes lie in ``span`` of the file."""
        index = max(bisect_right(self._in_file, span.start, key=itemgetter(0)) - 1, 0)
        while index < len(self._in_file) and self._in_file[index][0] < span.end:
            offset, region = self._in_file[index]
            index += 1
            low, high = max(span.start - offset, 0), min(span.end - offset, region.size)
            if low < high:
                yield region.start + low, region.start + high

    def at_offset(self, offset: int) -> int | None:
        """The address whose byte is at the file offset ``offset``; None if that byte is not memory of the target."""
        index = bisect_right(self._in_file, offset, key=itemgetter(0)) - 1
        if index < 0:
            return None
        start, region = self._in_file[index]
        return region.start + offset - start if offset < start + region.size else None


def landmarks_in(landmarks: Sequence[Landmark], start: int, end: int) -> list[str]:
    """The names of the landmarks that overlap ``[start, end)``, in ascending order, each once."""
    stop = bisect_right(landmarks, start, key=lambda mark: mark.start)
    while stop < len(landmarks) and landmarks[stop].start < end:
        stop += 1
    return list(dict.fromkeys(mark.name for mark in landmarks[:stop] if mark.end > start))
