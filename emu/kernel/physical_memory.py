"""Models the physical memory of a machine: runs of RAM with holes between them. Unused memory costs nothing.

The host buffer spans all of it, but the processors map it in windows of 2 MiB. A window opens when one of its pages is
allocated, or when guest code first accesses it. A page outside every open window is zero. So the time to find the
touched pages depends on their number only, not on the size of RAM.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from ..errors import DumptruthError
from ..machine.ram import PAGE_SIZE, Ram, RamExhausted
from ..sizes import number_of

WINDOW_PAGES = 512
"""A window has the size of a large page, 2 MiB."""

_MIB, _GIB = 20, 30
_ZERO_WINDOW = bytes(WINDOW_PAGES * PAGE_SIZE)
_ZERO_PAGE = bytes(PAGE_SIZE)

# Ranges of PFNs that are not RAM on a PC, first and end: the first page, the 384 KiB below 1 MiB, ACPI tables, and
# tables and devices from just below 3 GiB to 4 GiB. Real descriptors have such holes too
# (docs/format/kernel-pages.md#physical-memory-descriptor).
_HOLES = (
    (0x0, 0x1),
    (0xA0, 0x100),
    (0x1A00, 0x1A10),
    (0xBFF00, 0x100000),
)
SMALLEST_RAM, LARGEST_RAM = 1 << _MIB, 512 << _GIB


class RamSizeError(DumptruthError):
    """The size of RAM is invalid. The message is one line."""


def parse_size(text: str) -> int:
    """The size in bytes of a text such as ``16M``, ``512K``, ``8G``, ``4096`` or ``0x100000``. Raises RamSizeError."""
    size = number_of(text)
    if size is None:
        raise RamSizeError(f"size {text[:40]!r}: expected a number with K, M or G, such as 16M")
    return size


def memory_map(size: int) -> tuple[tuple[int, int], ...]:
    """Runs of RAM, (first PFN, count), of ``size`` bytes in all. RAM that does not fit below 3 GiB is above 4 GiB.

    Raises RamSizeError unless ``size`` is a whole number of pages from 1 MiB to 512 GiB.
    """
    if not SMALLEST_RAM <= size <= LARGEST_RAM or size % PAGE_SIZE:
        raise RamSizeError(
            f"RAM of {size:#x} bytes: expected a multiple of {PAGE_SIZE:#x} from {SMALLEST_RAM:#x} to {LARGEST_RAM:#x}"
        )
    left = size // PAGE_SIZE
    runs = []
    for (_, first), (end, _) in itertools.pairwise((*_HOLES, (1 << 40, 1 << 40))):
        count = min(left, end - first)
        if count:
            runs.append((first, count))
            left -= count
    return tuple(runs)


class PhysicalMemory(Ram):
    """RAM at the PFNs of ``runs``, which are sorted and disjoint. A physical address is an offset in ``view``.

    Allocation starts at PFN ``first`` and uses lower pages last. With ``devices``, addresses outside RAM are those of
    devices that do not answer. Raises RamSizeError if the host cannot reserve that much address space.
    """

    def __init__(self, runs: Iterable[tuple[int, int]], *, first: int = 0, devices: bool = False) -> None:
        self.runs = tuple(runs)
        self.first = max(first, self.runs[0][0])
        end = self.runs[-1][0] + self.runs[-1][1]
        try:
            super().__init__(end * PAGE_SIZE)
        except (OSError, OverflowError, MemoryError) as error:
            raise RamSizeError(f"RAM up to {end * PAGE_SIZE:#x}: the host cannot reserve it ({error})") from error
        self._devices = devices
        self._open: set[int] = set()
        hole = 0
        for base, count in self.runs:
            self._used[hole:base] = b"\1" * (base - hole)
            hole = base + count
        self._search_from = self.first

    def is_ram(self, page: int) -> bool:
        """Whether there is RAM at that PFN."""
        return any(first <= page < first + count for first, count in self.runs)

    def is_device(self, pa: int) -> bool:
        """Whether an access to that address reaches no RAM, and is no error."""
        return self._devices and not self.is_ram(pa // PAGE_SIZE)

    def allocate_pages(self, count: int) -> int:
        """Physical address of the first run of ``count`` free contiguous pages, zeroed. Raises RamExhausted."""
        try:
            return self.allocate_within(count, first=self._search_from, end=len(self._used))
        except RamExhausted:
            return self.allocate_within(count, first=0, end=self.first)

    def allocate_within(self, count: int, *, first: int, end: int, alignment: int = 1) -> int:
        """Physical address of ``count`` free contiguous pages among the PFNs ``first`` to ``end`` - 1, zeroed.

        ``alignment`` is in pages. Raises RamExhausted.
        """
        page = self._find_free(count, first, min(end, len(self._used)), alignment)
        self._used[page : page + count] = b"\1" * count
        if page == self._search_from:
            self._search_from = page + count
        windows = range(page // WINDOW_PAGES, (page + count - 1) // WINDOW_PAGES + 1)
        for number in windows:
            if number in self._open:  # pages of other windows were never written
                low, high = max(page, number * WINDOW_PAGES), min(page + count, (number + 1) * WINDOW_PAGES)
                self._view[low * PAGE_SIZE : high * PAGE_SIZE] = bytes((high - low) * PAGE_SIZE)
        self._open.update(windows)
        return page * PAGE_SIZE

    def _find_free(self, count: int, first: int, end: int, alignment: int) -> int:
        if count < 1:
            raise ValueError(f"page count {count}: expected at least 1")
        page, free = first, bytes(count)
        while (page := self._used.find(free, page, end)) >= 0:
            if page % alignment == 0:
                return page
            page += alignment - page % alignment
        raise RamExhausted(f"no {count} contiguous free pages among the PFNs {first:#x} to {end:#x}")

    def free_runs(self) -> tuple[tuple[int, int], ...]:
        """(first PFN, count) of RAM that is not allocated."""
        found = []
        for first, count in self.runs:
            page, end = first, first + count
            while (page := self._used.find(0, page, end)) >= 0:
                taken = self._used.find(1, page, end)
                stop = end if taken < 0 else taken
                found.append((page, stop - page))
                page = stop
        return tuple(found)

    # --- windows ---------------------------------------------------------------------------------------------------

    def windows(self) -> Iterator[tuple[int, int]]:
        """The open ranges as (physical address, bytes), ascending. Adjacent ranges are merged."""
        start = end = 0
        for number in sorted(self._open):
            for at, size in self._window(number):
                if at != end:
                    if end > start:
                        yield start, end - start
                    start = at
                end = at + size
        if end > start:
            yield start, end - start

    def open_window(self, pa: int) -> tuple[int, int] | None:
        """Open the window around ``pa`` and return its range with ``pa``; None if there is no RAM."""
        if not self.is_ram(pa // PAGE_SIZE):
            return None
        number = pa // PAGE_SIZE // WINDOW_PAGES
        self._open.add(number)
        return next((at, size) for at, size in self._window(number) if at <= pa < at + size)

    def touched(self) -> tuple[tuple[int, int], ...]:
        """(first PFN, count) of the pages that are not all zero. The runs are sorted and not adjacent."""
        found: list[tuple[int, int]] = []
        for number in sorted(self._open):
            for at, size in self._window(number):
                if self._mmap[at : at + size] == _ZERO_WINDOW[:size]:
                    continue
                for pa in range(at, at + size, PAGE_SIZE):
                    if self._mmap[pa : pa + PAGE_SIZE] == _ZERO_PAGE:
                        continue
                    page = pa // PAGE_SIZE
                    if found and sum(found[-1]) == page:
                        found[-1] = (found[-1][0], found[-1][1] + 1)
                    else:
                        found.append((page, 1))
        return tuple(found)

    def _window(self, number: int) -> Iterator[tuple[int, int]]:
        """The ranges of RAM in one window. A hole divides it into several."""
        low, high = number * WINDOW_PAGES, (number + 1) * WINDOW_PAGES
        for first, count in self.runs:
            start, end = max(low, first), min(high, first + count)
            if start < end:
                yield start * PAGE_SIZE, (end - start) * PAGE_SIZE
