"""Memory that is mostly zero. It takes space only for the pages that are not zero."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator

PAGE_SIZE = 0x1000


class SparseBytes:
    """``size`` bytes that are zero outside of ``stretches``: (offset, bytes) of whole pages.

    A value like ``bytes``; two objects with the same contents are equal. A slice is ``bytes`` of full length;
    ``pieces`` avoids that copy. Raises ValueError for stretches that overlap, lie outside, or are not whole pages.
    """

    __slots__ = ("_offsets", "_size", "_stretches")

    def __init__(self, size: int, stretches: Iterable[tuple[int, bytes]] = ()) -> None:
        self._size = size
        self._stretches = sorted((offset, data) for offset, data in stretches if data)
        self._offsets = [offset for offset, _ in self._stretches]
        end = 0
        for offset, data in self._stretches:
            if offset < end or offset + len(data) > size:
                raise ValueError(
                    f"stretch at {offset:#x}: {len(data):#x} bytes overlap another stretch or end after {size:#x}"
                )
            if offset % PAGE_SIZE or len(data) % PAGE_SIZE:
                raise ValueError(f"stretch at {offset:#x}: {len(data):#x} bytes, expected whole pages")
            end = offset + len(data)

    def __len__(self) -> int:
        return self._size

    def __repr__(self) -> str:
        return f"SparseBytes({self._size:#x}, {len(self._stretches)} stretches)"

    def __getitem__(self, key: slice) -> bytes:
        start, end, step = key.indices(self._size)
        if step != 1:
            raise ValueError("slice of SparseBytes: expected no step")
        return b"".join(bytes(piece) for piece in self.pieces(start, end))

    def __bytes__(self) -> bytes:
        return self[:]

    def pieces(self, start: int, end: int) -> Iterator[memoryview | int]:
        """Yield the contents of [start, end) in order, without a copy: bytes, or a number of zeros."""
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
