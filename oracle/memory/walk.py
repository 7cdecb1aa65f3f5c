"""Walks page tables: translates virtual addresses, and lists everything that an address space maps.

Works on the pages of a dump and on those of a truth. A page table that is missing maps nothing. Sources: Intel SDM
volume 3, chapter 4; AMD64 manual volume 2, chapter 5; Arm ARM D8; docs/format/kernel-structures.md#page-tables-of-x64,
docs/format/kernel-other-architectures.md#paging-mode-of-x86 and #page-tables-of-arm64.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from .page import PAGE_SIZE

# Bits of an x86 page-table entry: Intel SDM volume 3, tables 4-15 to 4-20.
PRESENT, USER, LARGE = 0x1, 0x4, 0x80
PROTOTYPE, TRANSITION = 0x400, 0x800
"""Bits of an entry of Windows that is not present (docs/format/kernel-structures.md#page-tables-of-x64)."""
_LAST: Final = 511
SHARED_HALF: Final = 256
"""Entries of a root table from here on map kernel memory (docs/format/kernel-structures.md#page-tables-of-x64)."""


class PhysicalMemory(Protocol):
    """Pages by page frame number: those of a dump or of a truth."""

    def page(self, pfn: int) -> memoryview | bytes | None:
        """The 4096 bytes of the page; None if they are missing."""
        ...


@dataclass(frozen=True, slots=True)
class Level:
    """One level of the page tables."""

    shift: int
    """The lowest bit of the address that indexes a table of this level."""
    bits: int
    """How many bits index it."""
    leaf: bool
    """Whether an entry of this level can map memory itself."""


@dataclass(frozen=True, slots=True)
class Paging:
    """A paging mode."""

    levels: tuple[Level, ...]
    entry_size: int
    """In bytes."""
    frame_mask: int
    """The bits of an entry that hold a physical address."""
    root_mask: int
    """The bits of the root register that hold a physical address."""
    virtual_bits: int
    """Bits of a virtual address that are translated."""


MODES: Final = {
    "amd64": Paging(
        (Level(39, 9, False), Level(30, 9, True), Level(21, 9, True), Level(12, 9, True)),
        8, 0x000F_FFFF_FFFF_F000, 0x000F_FFFF_FFFF_F000, 48,
    ),
    "x86-pae": Paging(
        (Level(30, 2, False), Level(21, 9, True), Level(12, 9, True)), 8, 0x000F_FFFF_FFFF_F000, 0xFFFF_FFE0, 32
    ),
    "x86": Paging((Level(22, 10, True), Level(12, 10, True)), 4, 0xFFFF_F000, 0xFFFF_F000, 32),
    "amd64-la57": Paging(
        (Level(48, 9, False), Level(39, 9, False), Level(30, 9, True), Level(21, 9, True), Level(12, 9, True)),
        8, 0x000F_FFFF_FFFF_F000, 0x000F_FFFF_FFFF_F000, 57,
    ),
    # From one public reader: docs/format/kernel-other-architectures.md#page-tables-of-arm64.
    "arm64": Paging(
        (Level(39, 9, False), Level(30, 9, True), Level(21, 9, True), Level(12, 9, True)),
        8, 0x0003_FFFF_FFFF_F000, 0x0000_FFFF_FFFF_F000, 48,
    ),
}  # fmt: skip


class AddressSpace:
    """Translates virtual addresses through the page tables below one root.

    ``root`` is the value of the root register (Cr3, DirectoryTableBase). ``mode`` is a key of ``MODES``.
    """

    def __init__(self, memory: PhysicalMemory, root: int, mode: str = "amd64") -> None:
        self._memory = memory
        self._arm = mode == "arm64"
        self.mode = MODES[mode]
        self.root = root & self.mode.root_mask
        """Physical address of the root table."""

    def canonical(self, address: int) -> bool:
        """Whether the processor accepts ``address`` as a virtual address."""
        bits = self.mode.virtual_bits
        if bits == 32:
            return 0 <= address < 1 << 32
        top = address >> (bits - 1)
        return 0 <= address < 1 << 64 and top in (0, (1 << (65 - bits)) - 1)

    def translate(self, address: int) -> int | None:
        """The physical address of a virtual one; None if it is not mapped, or if a table is missing."""
        if not self.canonical(address):
            return None
        mode, table = self.mode, self.root
        for level in mode.levels:
            index = (address >> level.shift) & ((1 << level.bits) - 1)
            entry = self._entry(table + index * mode.entry_size)
            if entry is None or not entry & PRESENT:
                return None
            if level.leaf and self._is_leaf(entry, level):
                offset = (1 << level.shift) - 1
                return (entry & mode.frame_mask & ~offset) | (address & offset)
            table = entry & mode.frame_mask
        return None

    def read(self, address: int, size: int) -> bytes | None:
        """``size`` bytes at a virtual address, at most 16 MiB; None unless all their pages are mapped and present."""
        if size <= 0 or size > 1 << 24 or address + size > 1 << 64:
            return None
        parts = []
        while size:
            physical = self.translate(address)
            page = None if physical is None else self._memory.page(physical // PAGE_SIZE)
            if physical is None or page is None:
                return None
            at = physical % PAGE_SIZE
            parts.append(bytes(page[at : at + size]))
            length = len(parts[-1])
            address, size = address + length, size - length
        return b"".join(parts)

    def _is_leaf(self, entry: int, level: Level) -> bool:
        if level.shift == 12:
            return True
        return not entry & 2 if self._arm else bool(entry & LARGE)

    def _entry(self, physical: int) -> int | None:
        page = self._memory.page(physical // PAGE_SIZE)
        if page is None:
            return None
        at = physical % PAGE_SIZE
        return int.from_bytes(page[at : at + self.mode.entry_size], "little")


@dataclass(frozen=True, slots=True)
class Mapped:
    """What one half of an address space maps."""

    tables: frozenset[int]
    """PFNs of the page tables below the root."""
    leaves: tuple[tuple[int, int], ...]
    """``[first, end)`` PFNs of memory that pages of 4 KiB and 2 MiB map. Unsorted; ranges may overlap."""
    gigantic: tuple[tuple[int, int], ...]
    """The same for pages of 1 GiB."""
    transition: tuple[tuple[int, int], ...]
    """The same for pages in transition: not present, but still in their page frame."""


def mapped(
    memory: PhysicalMemory, roots: tuple[int, ...], *, kernel: bool, levels: int = 4, last_entries: bool = True
) -> Mapped:
    """Everything that the kernel half, or the user half, of the amd64 tables below ``roots`` maps.

    ``roots`` are physical addresses. The self-map, a root entry that points at its own root, is skipped: it maps the
    page tables, which ``tables`` lists. Each table is visited once per level, so cycles of tables end. ``levels`` is 4,
    or 5 with LA57. Without ``last_entries`` entry 511 of page-directory-pointer tables and page directories is skipped.
    """
    half = range(SHARED_HALF, 512) if kernel else range(SHARED_HALF)
    tables: set[int] = set()
    leaves: list[tuple[int, int]] = []
    gigantic: list[tuple[int, int]] = []
    transition: list[tuple[int, int]] = []
    seen: set[tuple[int, int]] = set()
    stack: list[tuple[int, int]] = []
    frame = MODES["amd64"].frame_mask
    for root in roots:
        entries = _table(memory, (root & frame) // PAGE_SIZE)
        for index in half:
            entry = entries[index] if entries else 0
            if entry & PRESENT and entry & frame != root & frame:
                stack.append(((entry & frame) // PAGE_SIZE, 5 - levels))
    while stack:
        pfn, depth = stack.pop()
        if (pfn, depth) in seen:
            continue
        seen.add((pfn, depth))
        tables.add(pfn)
        entries = _table(memory, pfn)
        if entries is None:
            continue
        if depth == 0:  # with five levels: no entry maps a page
            stack.extend(((entry & frame) // PAGE_SIZE, 1) for entry in entries if entry & PRESENT)
            continue
        if depth == 3:
            leaves.extend(_rows(entries, 1, frame))
            transition.extend(_rows(tuple(map(_as_present, entries)), 1, frame))
            continue
        if not last_entries:
            entries = (*entries[:_LAST], 0)
        pages = 1 << (18 - 9 * (depth - 1))
        large = tuple(entry if entry & LARGE else 0 for entry in entries)
        (gigantic if depth == 1 else leaves).extend(_rows(large, pages, frame & ~(pages * PAGE_SIZE - 1)))
        stack.extend(
            ((entry & frame) // PAGE_SIZE, depth + 1) for entry in entries if entry & PRESENT and not entry & LARGE
        )
    return Mapped(frozenset(tables), tuple(leaves), tuple(gigantic), tuple(transition))


def _as_present(entry: int) -> int:
    """The entry as if it were present, if it is in transition; else 0."""
    return entry | PRESENT if entry & (PRESENT | PROTOTYPE | TRANSITION) == TRANSITION else 0


def _table(memory: PhysicalMemory, pfn: int) -> tuple[int, ...] | None:
    page = memory.page(pfn)
    return None if page is None or len(page) < PAGE_SIZE else struct.unpack("<512Q", page)


def _rows(entries: tuple[int, ...], pages: int, frame: int) -> Iterator[tuple[int, int]]:
    """The present entries as ``[first, end)`` PFNs. Adjacent entries that map adjacent frames are joined."""
    start = end = -1
    for entry in entries:
        if not entry & PRESENT:
            continue
        pfn = (entry & frame) >> 12
        if pfn == end:
            end += pages
            continue
        if end > start:
            yield start, end
        start, end = pfn, pfn + pages
    if end > start:
        yield start, end
