"""Walks every page table to list the frames in use. The list fills the PFN database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..machine.paging import ENTRIES, FRAME, LARGE, PRESENT
from ..machine.ram import PAGE_SIZE
from .boot_block import MMPFN_SIZE, SELF_MAP_INDEX, PageState
from .physical_memory import PhysicalMemory
from .system_space import pte_address

_SIGN = 0xFFFF << 48


@dataclass(slots=True)
class Frames:
    """``count`` frames from PFN ``base`` on in one state. Their PTEs are consecutive from ``pte`` on (0: no PTE)."""

    base: int
    count: int
    pte: int
    state: PageState


def frames_in_use(memory: PhysicalMemory, roots: list[int]) -> list[Frames]:
    """Every frame that the page tables at ``roots`` map or use, once. Its PTE is that of the first mapping found."""
    met = bytearray(memory.size // PAGE_SIZE)
    found: list[Frames] = []
    leaves: set[int] = set()
    for root in roots:
        for first, count, pte in _walk(memory, root, leaves):
            for base, length in _unmet(met, first, first + count):
                at = pte + 8 * (base - first)
                last = found[-1] if found else None
                if last and last.base + last.count == base and last.pte + 8 * last.count == at:
                    last.count += length
                else:
                    found.append(Frames(base, length, at, PageState.ACTIVE))
    return found


def _unmet(met: bytearray, base: int, end: int) -> Iterator[tuple[int, int]]:
    """The runs of ``[base, end)`` that are not marked in ``met``. Marks them."""
    while (first := met.find(0, base, end)) >= 0:
        base = met.find(1, first, end)
        if base < 0:
            base = end
        met[first:base] = b"\1" * (base - first)
        yield first, base - first


def database_pages(frames: list[Frames]) -> list[int]:
    """Numbers of the pages of the PFN database that hold an entry of ``frames``, counted from its start."""
    needed: set[int] = set()
    for part in frames:
        first = part.base * MMPFN_SIZE // PAGE_SIZE
        last = ((part.base + part.count) * MMPFN_SIZE - 1) // PAGE_SIZE
        needed.update(range(first, last + 1))
    return sorted(needed)


def _walk(memory: PhysicalMemory, root: int, leaves: set[int]) -> Iterator[tuple[int, int, int]]:
    """(PFN, count, PTE address) of the root, every table below it and every page that they map.

    ``leaves`` collects the leaf tables, so that a shared one is read once.
    """
    top = _SIGN | SELF_MAP_INDEX << 39
    yield root // PAGE_SIZE, 1, pte_address(pte_address(pte_address(pte_address(top))))
    yield from _walk_table(memory, root, 0, 39, leaves)


def _walk_table(
    memory: PhysicalMemory, table: int, va: int, shift: int, leaves: set[int]
) -> Iterator[tuple[int, int, int]]:
    if shift == 12:
        if table in leaves:
            return
        leaves.add(table)
    entries = memory.view[table : table + PAGE_SIZE].cast("Q").tolist()
    if shift == 12:
        yield from _rows(entries, pte_address(va))
        return
    for index in range(ENTRIES):
        entry = entries[index]
        if not entry & PRESENT or (shift == 39 and index == SELF_MAP_INDEX):
            continue
        at = va | index << shift
        if shift == 39 and index >= ENTRIES // 2:
            at |= _SIGN
        if shift < 39 and entry & LARGE:
            size = 1 << shift
            yield (entry & FRAME & ~(size - 1)) // PAGE_SIZE, size // PAGE_SIZE, pte_address(at)
        else:
            mapped_by = at
            for _ in range({39: 4, 30: 3, 21: 2}[shift]):
                mapped_by = pte_address(mapped_by)
            yield (entry & FRAME) // PAGE_SIZE, 1, mapped_by
            yield from _walk_table(memory, entry & FRAME, at, shift - 9, leaves)


def _rows(entries: list[int], pte: int) -> Iterator[tuple[int, int, int]]:
    """(PFN, count, PTE address) of the pages that a leaf table at ``pte`` maps. Merges adjacent frames."""
    first = count = 0
    for index, entry in enumerate(entries):
        frame = (entry & FRAME) // PAGE_SIZE
        if count and (not entry & PRESENT or frame != first + count):
            yield first, count, pte + 8 * (index - count)
            count = 0
        if entry & PRESENT:
            first, count = (first, count + 1) if count else (frame, 1)
    if count:
        yield first, count, pte + 8 * (ENTRIES - count)
