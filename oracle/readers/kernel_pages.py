"""Maps the PFNs that a kernel dump holds to file offsets: by runs, or by a bitmap.

The time of a lookup does not depend on the number of pages, because a hostile file can name 2^60 of them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Final, Protocol

from ..memory.page import PAGE_SIZE
from ..memory.source import ByteSource

_BLOCK: Final = 0x400
"""Bytes of a bitmap whose set bits are counted together."""


class PageMap(Protocol):
    """PFN -> file offset."""

    total: int
    """How many pages the dump names, repeated ones included."""
    first: int
    """File offset of the first page."""

    def offset_of(self, pfn: int) -> int | None:
        """The file offset of a page; None if the dump does not name the page."""
        ...

    def count(self, start: int, end: int) -> int:
        """How many of the PFNs ``[start, end)`` the dump names."""
        ...

    def runs(self, start: int = 0, end: int = 1 << 64) -> Iterator[tuple[int, int, int]]:
        """The PFNs of ``[start, end)`` that the dump names, ascending, as (first PFN, pages, file offset)."""
        ...

    def held_runs(self, size: int) -> Iterator[tuple[int, int, int]]:
        """The same of all pages that lie whole in a file of ``size`` bytes. A damaged dump can name far more."""
        ...


class PageRuns:
    """Types 1, 8, 9 and 10: the pages of all runs, one after another, in the order of the runs."""

    def __init__(self, runs: Iterable[tuple[int, int]], first: int) -> None:
        """``runs`` are (first PFN, pages); ``first`` is the file offset of the first page."""
        self.first = first
        offset, pieces = first, []
        for base, count in runs:
            pieces.append((base, base + count, offset))
            offset += count * PAGE_SIZE
        self.end = offset
        """File offset after the last page."""
        self.total = (offset - first) // PAGE_SIZE
        self._pieces: list[tuple[int, int, int]] = []
        self._before: list[int] = []
        top = pages = 0
        self.repeated: list[tuple[int, int, int]] = []
        """First PFN, PFN after the last, and file offset of pages that an earlier run holds, too."""
        # The run that starts lower owns the pages that it has in common with others.
        for base, end, at in sorted(pieces):
            low = max(base, top)
            if min(low, end) > base:
                self.repeated.append((base, min(low, end), at))
            if end > low:
                self._pieces.append((low, end, at + (low - base) * PAGE_SIZE))
                self._before.append(pages)
                pages += end - low
                top = end
        self._starts = [piece[0] for piece in self._pieces]
        self.distinct = pages
        """How many different pages the dump names."""

    def offset_of(self, pfn: int) -> int | None:
        index = bisect_right(self._starts, pfn) - 1
        if index < 0 or pfn >= self._pieces[index][1]:
            return None
        low, _, at = self._pieces[index]
        return at + (pfn - low) * PAGE_SIZE

    def count(self, start: int, end: int) -> int:
        return max(self._below(end) - self._below(start), 0)

    def held(self, size: int) -> int:
        """How many different pages a file of ``size`` bytes holds, the last one perhaps in part."""
        return sum(_inside(size, at, pages) for _, pages, at in self.runs())

    def _below(self, pfn: int) -> int:
        index = bisect_right(self._starts, pfn) - 1
        if index < 0:
            return 0
        low, end, _ = self._pieces[index]
        return self._before[index] + min(pfn, end) - low

    def runs(self, start: int = 0, end: int = 1 << 64) -> Iterator[tuple[int, int, int]]:
        index = max(bisect_right(self._starts, start) - 1, 0)
        while index < len(self._pieces) and self._pieces[index][0] < end:
            base, stop, at = self._pieces[index]
            low, high = max(base, start), min(stop, end)
            if low < high:
                yield low, high - low, at + (low - base) * PAGE_SIZE
            index += 1

    def held_runs(self, size: int) -> Iterator[tuple[int, int, int]]:
        for base, pages, at in self.runs():
            inside = min(pages, max(size - at, 0) // PAGE_SIZE)
            if inside:
                yield base, inside, at


class PageBitmap:
    """Types 2, 5 and 6: bit n stands for PFN n, and the file holds the pages of the set bits in order."""

    def __init__(self, source: ByteSource, offset: int, bits: int, first: int) -> None:
        """A bitmap of ``bits`` bits at file offset ``offset``, and its first page at ``first``.

        Bits beyond the end of the file count as clear.
        """
        self.first = first
        self.bits = min(bits, 8 * max(source.size - offset, 0))
        self._view = source.view(offset, -(-self.bits // 8))
        self._ranks = [0]
        for at in range(0, len(self._view), _BLOCK):
            self._ranks.append(self._ranks[-1] + self._word(at, at + _BLOCK).bit_count())
        self.total = self._ranks[-1]
        self.end = first + self.total * PAGE_SIZE

    def _word(self, start: int, end: int) -> int:
        """Bytes ``[start, end)`` of the bitmap as an integer, with the bits after the last one clear."""
        word = int.from_bytes(self._view[start:end], "little")
        beyond = self.bits - 8 * start
        return word & ((1 << beyond) - 1) if beyond < 8 * (end - start) else word

    def _below(self, pfn: int) -> int:
        """How many bits below ``pfn`` are set."""
        pfn = min(max(pfn, 0), self.bits)
        block, bit = divmod(pfn, 8 * _BLOCK)
        if not bit:
            return self._ranks[block]
        word = self._word(block * _BLOCK, (block + 1) * _BLOCK)
        return self._ranks[block] + (word & ((1 << bit) - 1)).bit_count()

    def offset_of(self, pfn: int) -> int | None:
        if not 0 <= pfn < self.bits or not self._view[pfn // 8] >> pfn % 8 & 1:
            return None
        return self.first + self._below(pfn) * PAGE_SIZE

    def count(self, start: int, end: int) -> int:
        return max(self._below(end) - self._below(start), 0)

    def held(self, size: int) -> int:
        """How many different pages a file of ``size`` bytes holds, the last one perhaps in part."""
        return _inside(size, self.first, self.total)

    def runs(self, start: int = 0, end: int = 1 << 64) -> Iterator[tuple[int, int, int]]:
        offset = self.first + self._below(start) * PAGE_SIZE
        run = None
        for low, high in self._set_bits(start, min(end, self.bits)):
            if run is not None and run[1] == low:
                run = (run[0], high)
                continue
            if run is not None:
                yield run[0], run[1] - run[0], offset
                offset += (run[1] - run[0]) * PAGE_SIZE
            run = (low, high)
        if run is not None:
            yield run[0], run[1] - run[0], offset

    def held_runs(self, size: int) -> Iterator[tuple[int, int, int]]:
        for base, pages, at in self.runs():
            inside = min(pages, max(size - at, 0) // PAGE_SIZE)
            if not inside:
                return  # the pages ascend in the file, too
            yield base, inside, at

    def _set_bits(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """The set bits as ``[low, high)``. A run of bits is cut where a block ends."""
        size = 8 * _BLOCK
        for block in range(start // size, -(-end // size)):
            if self._ranks[block] == self._ranks[block + 1]:
                continue
            word = self._word(block * _BLOCK, (block + 1) * _BLOCK)
            at = block * size
            if start > at:
                word = word >> (start - at) << (start - at)
            if end < at + size:
                word &= (1 << (end - at)) - 1
            while word:
                skip = (word & -word).bit_length() - 1
                word >>= skip
                at += skip
                length = (~word & (word + 1)).bit_length() - 1
                yield at, at + length
                word >>= length
                at += length


class NoPages:
    """Dumps without pages: header-only and small dumps."""

    total = 0
    first = 0
    end = 0

    def offset_of(self, pfn: int) -> int | None:  # noqa: ARG002
        return None

    def count(self, start: int, end: int) -> int:  # noqa: ARG002
        return 0

    def held(self, size: int) -> int:  # noqa: ARG002
        """No page."""
        return 0

    def runs(self, start: int = 0, end: int = 1 << 64) -> Iterator[tuple[int, int, int]]:  # noqa: ARG002
        return iter(())

    def held_runs(self, size: int) -> Iterator[tuple[int, int, int]]:  # noqa: ARG002
        return iter(())


def _inside(size: int, offset: int, pages: int) -> int:
    """How many of ``pages`` pages at file offset ``offset`` begin before ``size``."""
    return min(max(-(-(size - offset) // PAGE_SIZE), 0), pages)
