"""Makes a machine's memory: page frames with holes in between, and real page tables."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence

from ..snapshot.kernel import PhysicalRun
from ..snapshot.process import PAGE_SIZE

SELF_MAP = 0x1ED
"""Index of the root entry that leads back to the root.

volatility3 looks for it: docs/format/kernel-readers.md#page-tables-that-volatility3-looks-for.
"""
_PRESENT_WRITABLE = 3  # AMD64 Architecture Programmer's Manual vol. 2, 5.4
_USER = 1 << 2
_LARGE = 1 << 7
_NO_EXECUTE = 1 << 63
_FRAME = 0x000F_FFFF_FFFF_F000
LARGE_PAGE = 512
"""Frames in a large page."""


class MachineMemory:
    """Sparse physical memory with an allocator and page tables. Frames are allocated from the lowest up."""

    def __init__(self, runs: Sequence[tuple[int, int]], levels: int = 4) -> None:
        """``levels`` of page tables: 4, or 5 with LA57."""
        self.runs = tuple(runs)
        self.levels = levels
        self._pages: dict[int, bytearray] = {}
        self._taken: set[int] = set()
        self._free = self._frames()

    def _frames(self) -> Iterator[int]:
        for base, count in self.runs:
            yield from range(base, base + count)

    def is_ram(self, frame: int) -> bool:
        """Whether the frame is RAM."""
        return any(base <= frame < base + count for base, count in self.runs)

    def allocate(self) -> int:
        """Return the next free frame. Raises ValueError if there is none."""
        for frame in self._free:
            if frame not in self._taken:
                self._taken.add(frame)
                return frame
        raise ValueError("RAM: no free page left")

    def allocate_large(self) -> int:
        """Return the first of 512 free frames in a row, aligned. Raises ValueError if there are none."""
        for base, count in self.runs:
            for first in range(-(-base // LARGE_PAGE) * LARGE_PAGE, base + count - LARGE_PAGE + 1, LARGE_PAGE):
                frames = range(first, first + LARGE_PAGE)
                if self._taken.isdisjoint(frames):
                    self._taken.update(frames)
                    return first
        raise ValueError("RAM: no 512 free frames in a row, aligned, for a large page")

    def untaken(self) -> list[int]:
        """Return the frames that are not allocated."""
        return [frame for frame in self._frames() if frame not in self._taken]

    def page(self, frame: int) -> bytearray:
        """Return the bytes of the page, which the caller may change."""
        return self._pages.setdefault(frame, bytearray(PAGE_SIZE))

    def new_root(self) -> int:
        """Return the physical address of a new root table. Its only entry is the self-map."""
        root = self.allocate() * PAGE_SIZE
        self._set_entry(root, SELF_MAP, root | _PRESENT_WRITABLE | _NO_EXECUTE)
        return root

    def entries(self, table: int) -> tuple[int, ...]:
        """Return the 512 entries of the table at a physical address."""
        return struct.unpack("<512Q", self.page(table // PAGE_SIZE))

    def _set_entry(self, table: int, index: int, value: int) -> None:
        struct.pack_into("<Q", self.page(table // PAGE_SIZE), 8 * index, value)

    def share_kernel_half(self, source: int, target: int) -> None:
        """Copy the kernel half of root ``source`` to root ``target``, without the self-map."""
        for index in range(256, 512):
            if index != SELF_MAP:
                self._set_entry(target, index, self.entries(source)[index])

    def map(self, root: int, address: int, frame: int, *, user: bool = False, large: bool = False) -> None:
        """Map one readable and writable page of 4 KiB; with ``large``, of 2 MiB."""
        bits = _PRESENT_WRITABLE | (_USER if user else 0)
        table = root
        for level in range(self.levels, 2 if large else 1, -1):
            index = address >> 12 + 9 * (level - 1) & 0x1FF
            entry = self.entries(table)[index]
            if not entry & 1:
                entry = self.allocate() * PAGE_SIZE | bits
                self._set_entry(table, index, entry)
            table = entry & _FRAME
        last = address >> (21 if large else 12) & 0x1FF
        self._set_entry(table, last, frame * PAGE_SIZE | bits | (_LARGE if large else 0))

    def map_new(self, root: int, address: int, size: int, *, user: bool = False) -> None:
        """Map new pages over [address, address + size), extended to whole pages."""
        for page in range(address & -PAGE_SIZE, address + size, PAGE_SIZE):
            self.map(root, page, self.allocate(), user=user)

    def _frame_of(self, root: int, address: int) -> int:
        table = root
        for level in range(self.levels, 0, -1):
            entry = self.entries(table)[address >> 12 + 9 * (level - 1) & 0x1FF]
            if not entry & 1:
                raise ValueError(f"{address:#x} is not mapped")
            if level == 2 and entry & _LARGE:
                return ((entry & _FRAME) >> 12) + (address >> 12) % LARGE_PAGE
            table = entry & _FRAME
        return table >> 12

    def write(self, root: int, address: int, data: bytes) -> None:
        """Write at a virtual address through the page tables. Raises ValueError if nothing is mapped there."""
        done = 0
        while done < len(data):
            at = (address + done) % PAGE_SIZE
            part = data[done : done + PAGE_SIZE - at]
            self.page(self._frame_of(root, address + done))[at : at + len(part)] = part
            done += len(part)

    def write_pointer(self, root: int, address: int, *values: int) -> None:
        """Write 64-bit values through the page tables."""
        self.write(root, address, struct.pack(f"<{len(values)}Q", *values))

    def snapshot(self) -> tuple[PhysicalRun, ...]:
        """Return the touched pages, in the form of KernelSnapshot."""
        return touched_runs(self._pages)


def touched_runs(touched: dict[int, bytearray] | dict[int, bytes]) -> tuple[PhysicalRun, ...]:
    """Return the pages, given by frame number, as sorted runs with gaps between them."""
    return tuple(
        PhysicalRun(first, b"".join(bytes(touched[frame]) for frame in range(first, first + count)))
        for first, count in frame_runs(touched)
    )


def frame_runs(frames: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Return the frame numbers, given in any order, as runs (first, count)."""
    runs: list[tuple[int, int]] = []
    for frame in sorted(frames):
        if runs and frame == runs[-1][0] + runs[-1][1]:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((frame, 1))
    return tuple(runs)
