"""Selects the page frames of a kernel dump, each range with its reasons (docs/format/kernel-kinds.md#sets-of-pages)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ..constants import Hresult, Qualifier
from ..request import DumpRefused
from ..snapshot.kernel import KernelSnapshot
from ..snapshot.process import PAGE_SIZE
from .kernel_memory import KERNEL_ENTRIES, USER_ENTRIES, PageWalk, PhysicalMemory, VirtualMemory, pages
from .ranges import Range, intersect, merge, subtract

Selection = Iterable[tuple[str, Sequence[Range]]]
"""Reasons, each with its frames."""


@dataclass(frozen=True, slots=True)
class PagePlan:
    """Page frames [start, end) of the file. ``reasons`` has every reason for a part of them."""

    start: int
    end: int
    reasons: tuple[str, ...]

    @property
    def count(self) -> int:
        """Number of frames."""
        return self.end - self.start


def select_pages(snapshot: KernelSnapshot, physical: PhysicalMemory, qualifier: int) -> tuple[PagePlan, ...]:
    """Return the pages of a FULL, DEFAULT or ACTIVE dump, by frame number. Adjacent ranges are joined.

    Raises DumpRefused with ERROR_PARTIAL_COPY when one of the pages cannot be read.
    """
    kinds = {
        Qualifier.DEBUG_DUMP_FULL: _complete,
        Qualifier.DEBUG_DUMP_DEFAULT: _kernel,
        Qualifier.DEBUG_DUMP_ACTIVE: _active,
    }
    # No dump holds pages outside RAM, even if a callback adds them.
    selection = [
        *kinds[Qualifier(qualifier)](snapshot, physical),
        ("added by a callback", intersect(pages(snapshot.added_pages), physical.ram)),
    ]
    planned = tuple(_with_reasons(selection))
    lost = intersect(((plan.start, plan.end) for plan in planned), physical.unreadable)
    if lost:
        raise DumpRefused(
            Hresult.ERROR_PARTIAL_COPY,
            f"page frames {lost[0][0]:#x}..{lost[0][1]:#x} of the dump cannot be read",
        )
    return planned


def _complete(_: KernelSnapshot, physical: PhysicalMemory) -> Selection:
    yield "RAM", physical.ram


def _roots(snapshot: KernelSnapshot) -> list[int]:
    """Return the root page tables of the header and of the System process. Together they map all kernel memory."""
    return sorted({snapshot.system_directory_table_base & -PAGE_SIZE, snapshot.directory_table_base & -PAGE_SIZE})


def _process_roots(snapshot: KernelSnapshot) -> set[int]:
    return {process.directory_table_base & -PAGE_SIZE for process in snapshot.processes}


def _kernel(snapshot: KernelSnapshot, physical: PhysicalMemory) -> Selection:
    """Yield the kernel's page tables and the pages that they map (docs/format/kernel-kinds.md#kernel-dump).

    A page that both halves map belongs to the kernel (docs/format/kernel-kinds.md#page-of-both-halves). Of user page
    tables the dump holds those of the root in use: the kernel half maps them through the self-map
    (docs/format/kernel-kinds.md#user-page-tables-in-a-kernel-dump).
    """
    roots = _roots(snapshot)
    every = _process_roots(snapshot).union(roots)
    walk, own = PageWalk(physical, every), PageWalk(physical, every)
    for root in roots:
        walk.add(root, KERNEL_ENTRIES)
        if VirtualMemory(physical, root).self_map() is not None:
            own.add(root, USER_ENTRIES)
    yield "page table of the kernel half", walk.tables
    yield "mapped by the kernel half", walk.leaves
    yield "user page table of the root in use, mapped by its self-map", subtract(own.tables, walk.tables)


def _active(snapshot: KernelSnapshot, physical: PhysicalMemory) -> Selection:
    """Yield the kernel's pages, and each process's page tables and mapped pages.

    Free, zeroed, standby and modified pages are left out, and pages in use that nothing maps. The documents do not say
    which standby and modified pages belong to an active dump (docs/format/kernel-kinds.md#active-dump).
    """
    yield from _kernel(snapshot, physical)
    roots = sorted(_process_roots(snapshot).union(_roots(snapshot)))
    walk = PageWalk(physical, roots)
    for root in roots:
        walk.add(root, USER_ENTRIES)
    idle = [*pages(snapshot.free_pages), *pages(snapshot.standby_pages)]
    yield "page table of a user half", subtract(walk.tables, idle)
    yield "mapped by a user half", subtract(walk.leaves, idle)


def _with_reasons(selection: Selection) -> Iterator[PagePlan]:
    wanted = [(reason, list(ranges)) for reason, ranges in selection]
    whole = merge(part for _, ranges in wanted for part in ranges)
    starts = [start for start, _ in whole]
    reasons: list[dict[str, None]] = [{} for _ in whole]
    for reason, ranges in wanted:
        for start, _ in ranges:  # each range lies in one range of the union
            reasons[bisect_right(starts, start) - 1][reason] = None
    for (start, end), why in zip(whole, reasons, strict=True):
        yield PagePlan(start, end, tuple(why))
