"""A file with small edits, without a copy of it: a judge can ask what a dump would be without a fault."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .source import ByteSource


@dataclass(frozen=True, slots=True, order=True)
class Edit:
    """Bytes ``[start, end)`` of a file, and what takes their place: more, fewer, or as many."""

    start: int
    end: int
    data: bytes


class EditedSource(ByteSource):
    """``base`` with ``edits``, which must not overlap. A view of more than one piece is a copy.

    An edit behind the end of ``base`` takes place at its end.
    """

    def __init__(self, base: ByteSource, edits: Iterable[Edit]) -> None:
        super().__init__(b"", base.name)
        self._base = base
        self._places: list[int] = []
        """The offset of each piece in this file."""
        self._origins: list[tuple[int, int]] = []
        """Of each piece the start in ``base``, and its length."""
        self._given: list[memoryview | None] = []
        """The bytes of a piece that is not in ``base``."""
        self.size = 0
        at = 0
        for edit in sorted(edits):
            start = min(edit.start, base.size)
            self._add(at, start - at, None)
            self._add(start, len(edit.data), memoryview(edit.data))
            at = max(edit.end, at)
        self._add(at, base.size - at, None)

    def _add(self, origin: int, length: int, given: memoryview | None) -> None:
        if length > 0:
            self._places.append(self.size)
            self._origins.append((origin, length))
            self._given.append(given)
            self.size += length

    def view(self, offset: int, length: int) -> memoryview:
        """As in ``ByteSource``."""
        if offset < 0 or length <= 0 or offset >= self.size:
            return memoryview(b"")
        end = min(offset + length, self.size)
        parts = [self._part(*part) for part in self._parts(offset, end)]
        return parts[0] if len(parts) == 1 else memoryview(b"".join(parts))

    def data(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """As in ``ByteSource``."""
        for index, low, high in self._parts(max(start, 0), min(end, self.size)):
            move = self._places[index] + low - (origin := self._origins[index][0] + low)
            if self._given[index] is not None:
                yield origin + move, origin + move + high - low
                continue
            for first, last in self._base.data(origin, origin + high - low):
                yield first + move, last + move

    def origin(self, offset: int) -> int:
        """The offset in ``base`` of a byte of this file; of a byte that an edit made, where the edit begins."""
        if offset >= self.size or not self._places:
            return self._base.size + max(offset - self.size, 0)
        index = max(bisect_right(self._places, offset) - 1, 0)
        start, length = self._origins[index]
        inside = offset - self._places[index]
        return start + (inside if self._given[index] is None else min(inside, length))

    def _parts(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """The pieces of ``[start, end)``: index, and the first and last byte inside the piece."""
        index = max(bisect_right(self._places, start) - 1, 0)
        while start < end and index < len(self._places):
            place, (_, length) = self._places[index], self._origins[index]
            stop = min(place + length, end)
            yield index, start - place, stop - place
            start, index = stop, index + 1

    def _part(self, index: int, low: int, high: int) -> memoryview:
        given = self._given[index]
        if given is not None:
            return given[low:high]
        return self._base.view(self._origins[index][0] + low, high - low)
