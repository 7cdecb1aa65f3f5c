"""Which frames are in use and where: every page table walked once, as the descriptors that fill the PFN database."""

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
    """``count`` frames from PFN ``base`` in one state; their PTEs follow each other from ``pte`` on (0: none)."""

    base: int
    count: int
    pte: int
    state: PageState


def frames_in_use(memory: PhysicalMemory, roots: list[int]) -> list[Frames]:
    """Every frame that the tables at ``roots`` map or consist of, each once: the first mapping met tells its PTE."""
    seen: set[int] = set()
    found: list[Frames] = []
    for root in roots:
        for frame, count, pte in _walk(memory, root):
            for number in range(count):
                page = frame + number
                if page in seen:
                    continue
                seen.add(page)
                last = found[-1] if found else None
                if last and last.base + last.count == page and last.pte + 8 * last.count == pte + 8 * number:
                    last.count += 1
                else:
                    found.append(Frames(page, 1, pte + 8 * number, PageState.ACTIVE))
    return found


def database_pages(frames: list[Frames]) -> list[int]:
    """Numbers of the pages of the PFN database, counted from its start, that hold an entry of ``frames``."""
    needed: set[int] = set()
    for part in frames:
        first = part.base * MMPFN_SIZE // PAGE_SIZE
        last = ((part.base + part.count) * MMPFN_SIZE - 1) // PAGE_SIZE
        needed.update(range(first, last + 1))
    return sorted(needed)


def _walk(memory: PhysicalMemory, root: int) -> Iterator[tuple[int, int, int]]:
    """(PFN, count, PTE address) of the root, of every table below it and of every page that they map."""
    top = _SIGN | SELF_MAP_INDEX << 39
    yield root // PAGE_SIZE, 1, pte_address(pte_address(pte_address(pte_address(top))))
    yield from _walk_table(memory, root, 0, 39)


def _walk_table(memory: PhysicalMemory, table: int, va: int, shift: int) -> Iterator[tuple[int, int, int]]:
    entries = memory.view[table : table + PAGE_SIZE].cast("Q").tolist()
    for index in range(ENTRIES):
        entry = entries[index]
        if not entry & PRESENT or (shift == 39 and index == SELF_MAP_INDEX):
            continue
        at = va | index << shift
        if shift == 39 and index >= ENTRIES // 2:
            at |= _SIGN
        if shift == 12:
            yield (entry & FRAME) // PAGE_SIZE, 1, pte_address(at)
        elif shift < 39 and entry & LARGE:
            size = 1 << shift
            yield (entry & FRAME & ~(size - 1)) // PAGE_SIZE, size // PAGE_SIZE, pte_address(at)
        else:
            mapped_by = at
            for _ in range({39: 4, 30: 3, 21: 2}[shift]):
                mapped_by = pte_address(mapped_by)
            yield (entry & FRAME) // PAGE_SIZE, 1, mapped_by
            yield from _walk_table(memory, entry & FRAME, at, shift - 9)
