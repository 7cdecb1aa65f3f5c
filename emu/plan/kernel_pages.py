"""Which page frames a kernel dump holds, range by range, each with the reasons it is there.

C1, C4 and the like are rules of spec kernel 6.3; M2, M3 and M6 are Microsoft's pages on the kinds (spec kernel 9).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ..constants import Hresult, Qualifier
from ..request import DumpRefused
from ..snapshot.kernel import KernelSnapshot
from .kernel_memory import KERNEL_ENTRIES, USER_ENTRIES, PageWalk, PhysicalMemory, VirtualMemory, pages
from .ranges import Range, intersect, merge, subtract

Selection = Iterable[tuple[str, Sequence[Range]]]
"""Reasons, each with the frames it asks for."""


@dataclass(frozen=True, slots=True)
class PagePlan:
    """Page frames [start, end) that the file holds. ``reasons``: every rule that asks for a part of them."""

    start: int
    end: int
    reasons: tuple[str, ...]

    @property
    def count(self) -> int:
        return self.end - self.start


def select_pages(snapshot: KernelSnapshot, physical: PhysicalMemory, qualifier: int) -> tuple[PagePlan, ...]:
    """The pages of a FULL, DEFAULT or ACTIVE dump, by frame number, neighbours joined.

    Raises DumpRefused with ERROR_PARTIAL_COPY when one of them cannot be read.
    """
    kinds = {
        Qualifier.DEBUG_DUMP_FULL: _complete,
        Qualifier.DEBUG_DUMP_DEFAULT: _kernel,
        Qualifier.DEBUG_DUMP_ACTIVE: _active,
    }
    # C1: what is not RAM is in no dump, whoever asks for it.
    selection = [
        *kinds[Qualifier(qualifier)](snapshot, physical),
        ("C4: added by a callback", intersect(pages(snapshot.added_pages), physical.ram)),
    ]
    planned = tuple(_with_reasons(selection))
    lost = intersect(((plan.start, plan.end) for plan in planned), physical.unreadable)
    if lost:
        raise DumpRefused(
            Hresult.ERROR_PARTIAL_COPY,
            f"page frames {lost[0][0]:#x}..{lost[0][1]:#x} belong to the dump, but cannot be read",
        )
    return planned


def _complete(_: KernelSnapshot, physical: PhysicalMemory) -> Selection:
    yield "C3: RAM", physical.ram


def _roots(snapshot: KernelSnapshot) -> list[int]:
    """The roots that the header and the System process name: between them, all that the kernel maps."""
    return sorted({snapshot.system_directory_table_base & -0x1000, snapshot.directory_table_base & -0x1000})


def _kernel(snapshot: KernelSnapshot, physical: PhysicalMemory) -> Selection:
    """Kernel page tables and what they map (M3). A page that both halves map is the kernel's (C9).

    Of user page tables (C7) only those of the root in use are there: the kernel half maps them, through the self-map.
    """
    roots = _roots(snapshot)
    every = {process.directory_table_base & -0x1000 for process in snapshot.processes}
    walk = PageWalk(physical, every.union(roots))
    own = PageWalk(physical, every.union(roots))
    for root in roots:
        walk.add(root, KERNEL_ENTRIES)
        if VirtualMemory(physical, root).self_map() is not None:
            own.add(root, USER_ENTRIES)
    yield "C4: kernel page table", walk.tables
    yield "C4: mapped by the kernel half", walk.leaves
    yield "C7: page table of the root in use, mapped by its self-map", subtract(own.tables, walk.tables)


def _active(snapshot: KernelSnapshot, physical: PhysicalMemory) -> Selection:
    """The kernel's pages, and what each process maps with the page tables for it (M6, C8).

    Free and zeroed pages are left out, and, by policy, all standby and modified ones: M6 names no rule which of them
    help. What is in use without being mapped is left out too.
    """
    yield from _kernel(snapshot, physical)
    roots = sorted({process.directory_table_base & -0x1000 for process in snapshot.processes}.union(_roots(snapshot)))
    walk = PageWalk(physical, roots)
    for root in roots:
        walk.add(root, USER_ENTRIES)
    idle = [*pages(snapshot.free_pages), *pages(snapshot.standby_pages)]
    yield "C8: page table of a user half", subtract(walk.tables, idle)
    yield "C8: mapped by a user half", subtract(walk.leaves, idle)


def _with_reasons(selection: Selection) -> Iterator[PagePlan]:
    wanted = [(reason, list(ranges)) for reason, ranges in selection]
    whole = merge(part for _, ranges in wanted for part in ranges)
    starts = [start for start, _ in whole]
    reasons: list[dict[str, None]] = [{} for _ in whole]
    for reason, ranges in wanted:
        for start, _ in ranges:  # each lies in one range of the union
            reasons[bisect_right(starts, start) - 1][reason] = None
    for (start, end), why in zip(whole, reasons, strict=True):
        yield PagePlan(start, end, tuple(why))
