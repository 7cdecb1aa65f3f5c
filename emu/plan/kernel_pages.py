"""Selects the page frames of a kernel dump, each range with its reasons (docs/format/kernel-kinds.md#sets-of-pages)."""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ..constants import Hresult, Qualifier
from ..request import DumpRefused
from ..snapshot.kernel import KernelSnapshot
from ..snapshot.process import PAGE_SIZE
from .kernel_memory import KERNEL_ENTRIES, USER_ENTRIES, PageWalk, PhysicalMemory, VirtualMemory, pages
from .kernel_writers import KernelWriter
from .page_frames import frames_in_use
from .ranges import Range, intersect, merge, subtract

_DESCRIPTOR = 0x10  # PHYSICAL_MEMORY_DESCRIPTOR: u32 NumberOfRuns, padding, u64 NumberOfPages
_RUN = struct.Struct("<QQ")
_MAXIMUM_RUNS = 0x1000

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


def ram_map(snapshot: KernelSnapshot, physical: PhysicalMemory) -> list[Range]:
    """Return the frames that an engine takes for RAM: those of the target's MmPhysicalMemoryBlock, if it can be read.

    docs/format/kernel-kinds.md#ram-map-of-the-engine, W29507.
    """
    memory = VirtualMemory(physical, snapshot.directory_table_base)
    block = memory.pointer(snapshot.symbols.mm_physical_memory_block)
    head = memory.read(block, _DESCRIPTOR) if block else None
    if block is None or head is None:
        return physical.ram
    number = min(int.from_bytes(head[:4], "little"), _MAXIMUM_RUNS)
    runs = memory.read(block + _DESCRIPTOR, _RUN.size * number)
    return physical.ram if runs is None else intersect(pages(_RUN.iter_unpack(runs)), physical.ram)


def select_pages(
    snapshot: KernelSnapshot,
    physical: PhysicalMemory,
    ram: Sequence[Range],
    qualifier: int,
    *,
    writer: KernelWriter,
    added: Sequence[Range],
) -> tuple[PagePlan, ...]:
    """Return the pages of a FULL, DEFAULT or ACTIVE dump, by frame number. Adjacent ranges are joined.

    ``ram`` is the writer's map of RAM, ``added`` the frames that a callback adds. No dump holds other frames than RAM.
    Raises DumpRefused with ERROR_PARTIAL_COPY when one of the pages cannot be read.
    """
    if qualifier == Qualifier.DEBUG_DUMP_FULL:
        selection: Selection = [("RAM", ram)]
    else:
        selection = _kernel(snapshot, physical, writer)
        if qualifier == Qualifier.DEBUG_DUMP_ACTIVE:
            memory = VirtualMemory(physical, snapshot.directory_table_base)
            selection = [*selection, ("in use", frames_in_use(snapshot, memory, ram))]
    wanted = [(reason, intersect(frames, ram)) for reason, frames in selection]
    planned = tuple(_with_reasons([*wanted, ("added by a callback", intersect(added, physical.ram))]))
    lost = intersect(((plan.start, plan.end) for plan in planned), physical.unreadable)
    if lost:
        raise DumpRefused(
            Hresult.ERROR_PARTIAL_COPY,
            f"page frames {lost[0][0]:#x}..{lost[0][1]:#x} of the dump cannot be read",
        )
    return planned


def _roots(snapshot: KernelSnapshot) -> list[int]:
    """Return the root page tables of the header and of the System process. Together they map all kernel memory."""
    return sorted({snapshot.system_directory_table_base & -PAGE_SIZE, snapshot.directory_table_base & -PAGE_SIZE})


def _process_roots(snapshot: KernelSnapshot) -> set[int]:
    return {process.directory_table_base & -PAGE_SIZE for process in snapshot.processes}


def _kernel(snapshot: KernelSnapshot, physical: PhysicalMemory, writer: KernelWriter) -> Selection:
    """Yield the kernel's page tables and the pages that they map (docs/format/kernel-kinds.md#kernel-dump).

    A page that both halves map belongs to the kernel (docs/format/kernel-kinds.md#page-of-both-halves). Of user page
    tables the dump holds those of the root in use: the kernel half maps them through the self-map
    (docs/format/kernel-kinds.md#user-page-tables-in-a-kernel-dump).
    """
    roots = _roots(snapshot)
    every = _process_roots(snapshot).union(roots)
    as_engine = writer.is_engine
    walk, own = PageWalk(physical, every, as_engine=as_engine), PageWalk(physical, every, as_engine=as_engine)
    for root in roots:
        walk.add(root, KERNEL_ENTRIES)
        if VirtualMemory(physical, root).self_map() is not None:
            own.add(root, USER_ENTRIES)
    yield "page table of the kernel half", walk.tables
    yield "mapped by the kernel half", walk.leaves
    yield "user page table of the root in use, mapped by its self-map", subtract(own.tables, walk.tables)


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
