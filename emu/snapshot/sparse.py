"""Memory that is mostly zero, at the cost of what is not. Part of the snapshot's model: standard library only."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator

_PAGE_SIZE = 0x1000


class SparseBytes:
    """``size`` bytes, zero but for ``stretches``: (offset, bytes) of whole pages. A value, like ``bytes``.

    Slices are ``bytes`` and take their room; ``pieces`` does not. Equal to another SparseBytes of the same contents.
    Raises ValueError for stretches that overlap, lie outside, or are not whole pages.
    """

    __slots__ = ("_offsets", "_size", "_stretches")

    def __init__(self, size: int, stretches: Iterable[tuple[int, bytes]] = ()) -> None:
        self._size = size
        self._stretches = sorted((offset, data) for offset, data in stretches if data)
        self._offsets = [offset for offset, _ in self._stretches]
        end = 0
        for offset, data in self._stretches:
            if offset < end or offset + len(data) > size:
                raise ValueError(f"stretch at {offset:#x}: overlaps another, or lies outside of {size:#x} bytes")
            if offset % _PAGE_SIZE or len(data) % _PAGE_SIZE:
                raise ValueError(f"stretch at {offset:#x}: {len(data):#x} bytes, expected whole pages")
            end = offset + len(data)

    def __len__(self) -> int:
        return self._size

    def __repr__(self) -> str:
        return f"SparseBytes({self._size:#x}, {len(self._stretches)} stretches)"

    def __getitem__(self, key: slice) -> bytes:
        start, end, step = key.indices(self._size)
        if step != 1:
            raise ValueError("a slice of SparseBytes has no step")
        return b"".join(bytes(piece) for piece in self.pieces(start, end))

    def __bytes__(self) -> bytes:
        return self[:]

    def pieces(self, start: int, end: int) -> Iterator[memoryview | int]:
        """What [start, end) is made of, in order and without a copy: bytes; a number: so many zeros."""
        at = start
        for index in range(max(bisect_right(self._offsets, start) - 1, 0), len(self._stretches)):
            offset, data = self._stretches[index]
            low, high = max(at, offset), min(end, offset + len(data))
            if low < high:
                if at < low:
                    yield low - at
                yield memoryview(data)[low - offset : high - offset]
                at = high
            elif offset >= end:
                break
        if at < end:
            yield end - at

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SparseBytes):
            return NotImplemented
        return self._size == other._size and self._agrees(other) and other._agrees(self)

    def _agrees(self, other: SparseBytes) -> bool:
        return all(other[offset : offset + len(data)] == data for offset, data in self._stretches)

    def __hash__(self) -> int:
        return hash((SparseBytes, self._size))
