"""The region table: what NtAllocateVirtualMemory and its kin do to a user address space, and what VirtualQuery says.

A pure table. It decides and records; the pages themselves are kept by a ``Pages`` sink that is told of every change.
Semantics: the VirtualAlloc, VirtualFree, VirtualProtect and VirtualQuery reference pages, ZwAllocateVirtualMemory and
ZwFreeVirtualMemory (ntifs.h) for the status codes.

Addresses and sizes are bytes. Failures raise ``StatusError`` with the NTSTATUS that Windows returns and change nothing.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from ..constants import (
    MEM_COMMIT,
    MEM_FREE,
    MEM_IMAGE,
    MEM_MAPPED,
    MEM_PRIVATE,
    MEM_RESERVE,
    PAGE_EXECUTE,
    PAGE_EXECUTE_READ,
    PAGE_EXECUTE_READWRITE,
    PAGE_EXECUTE_WRITECOPY,
    PAGE_GUARD,
    PAGE_NOACCESS,
    PAGE_NOCACHE,
    PAGE_READONLY,
    PAGE_READWRITE,
    PAGE_WRITECOMBINE,
    PAGE_WRITECOPY,
)
from ..snapshot.process import Region
from .winnt import (
    ALLOCATION_GRANULARITY,
    MEM_DECOMMIT,
    MEM_RELEASE,
    MEM_RESET,
    MEM_RESET_UNDO,
    MEM_TOP_DOWN,
    MEM_WRITE_WATCH,
    PAGE_SIZE,
    Status,
    StatusError,
)

LOWEST_USER_ADDRESS = 0x10000
USER_END = 0x7FFFFFFF0000
"""Where a VirtualQuery walk ends on amd64 (spec user-mode 3.9): the last 64 KiB below 2**47 are never reported."""

_BASE_PROTECTIONS = (
    PAGE_NOACCESS,
    PAGE_READONLY,
    PAGE_READWRITE,
    PAGE_WRITECOPY,
    PAGE_EXECUTE,
    PAGE_EXECUTE_READ,
    PAGE_EXECUTE_READWRITE,
    PAGE_EXECUTE_WRITECOPY,
)
_MODIFIERS = PAGE_GUARD | PAGE_NOCACHE | PAGE_WRITECOMBINE


class Pages(Protocol):
    """Keeps the pages of committed memory. ``start`` is page aligned, ``count`` is a number of pages."""

    def commit(self, start: int, count: int, protect: int) -> None:
        """Give zeroed private pages, or raise ``StatusError`` (COMMITMENT_LIMIT) and change nothing."""

    def decommit(self, start: int, count: int) -> None: ...

    def protect(self, start: int, count: int, protect: int) -> None: ...


@dataclass(frozen=True, slots=True, eq=False)
class Allocation:
    """One reservation, view or image: what AllocationBase and AllocationProtect name. Compared by identity."""

    base: int
    protect: int
    type: int


@dataclass(frozen=True, slots=True)
class _Run:
    """Pages of one allocation with one protection; ``protect`` is 0 while they are only reserved."""

    start: int
    end: int
    allocation: Allocation
    protect: int


def page_floor(address: int) -> int:
    return address & ~(PAGE_SIZE - 1)


def page_ceiling(address: int) -> int:
    return (address + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1)


def valid_protection(protect: int) -> bool:
    """One base protection, with modifiers that go with it (memoryapi.h: GUARD, NOCACHE and WRITECOMBINE never together
    with NOACCESS, NOCACHE never with WRITECOMBINE)."""
    base, modifiers = protect & ~_MODIFIERS, protect & _MODIFIERS
    if base not in _BASE_PROTECTIONS:
        return False
    if base == PAGE_NOACCESS and modifiers:
        return False
    return modifiers & (PAGE_NOCACHE | PAGE_WRITECOMBINE) != PAGE_NOCACHE | PAGE_WRITECOMBINE


class AddressSpace:
    """The user half of one process's address space.

    ``bottom_up`` is where the search for an unnamed reservation starts (Windows randomises it; here it is given).
    """

    def __init__(self, pages: Pages, *, bottom_up: int = LOWEST_USER_ADDRESS) -> None:
        self._pages = pages
        self._bottom_up = bottom_up
        self._secured: set[int] = set()  # allocation bases
        self._runs: list[_Run] = []  # sorted by start, never overlapping, equal neighbours of one allocation merged
        self._starts: list[int] = []

    # --- looking

    def _index(self, address: int) -> int | None:
        index = bisect_right(self._starts, address) - 1
        return index if index >= 0 and address < self._runs[index].end else None

    def _run_at(self, address: int) -> _Run | None:
        index = self._index(address)
        return None if index is None else self._runs[index]

    def protection(self, address: int) -> int:
        """PAGE_* of the page at ``address``; 0 when it is not committed."""
        run = self._run_at(address)
        return 0 if run is None else run.protect

    def allocation_at(self, address: int) -> Allocation | None:
        run = self._run_at(address)
        return None if run is None else run.allocation

    def extent(self, allocation: Allocation) -> tuple[int, int]:
        """First byte of the allocation and one past its last. Raises KeyError for one that is gone."""
        runs = self._runs_of(allocation)
        if not runs:
            raise KeyError(f"no allocation at 0x{allocation.base:X}")
        return runs[0].start, runs[-1].end

    def _runs_of(self, allocation: Allocation) -> list[_Run]:
        index = bisect_right(self._starts, allocation.base) - 1
        found = []
        while 0 <= index < len(self._runs) and self._runs[index].allocation is allocation:
            found.append(self._runs[index])
            index += 1
        return found

    def _overlapping(self, start: int, end: int) -> list[_Run]:
        index = max(bisect_right(self._starts, start) - 1, 0)
        found = []
        while index < len(self._runs) and self._runs[index].start < end:
            if self._runs[index].end > start:
                found.append(self._runs[index])
            index += 1
        return found

    def is_free(self, start: int, size: int) -> bool:
        return start >= LOWEST_USER_ADDRESS and start + size <= USER_END and not self._overlapping(start, start + size)

    def query(self, address: int) -> Region:
        """MEMORY_BASIC_INFORMATION of ``address``. INVALID_PARAMETER beyond user space."""
        if not 0 <= address < USER_END:
            raise StatusError(Status.INVALID_PARAMETER)
        base = page_floor(address)
        run = self._run_at(base)
        if run is not None:
            return self._row(replace(run, start=base))
        following = bisect_right(self._starts, base)
        end = self._starts[following] if following < len(self._starts) else USER_END
        return _free(base, end)

    def walk(self) -> Iterator[Region]:
        """Every row of a VirtualQuery walk, from 0 to ``USER_END`` without a gap."""
        at = 0
        for run in self._runs:
            if at < run.start:
                yield _free(at, run.start)
            yield self._row(run)
            at = run.end
        if at < USER_END:
            yield _free(at, USER_END)

    def _row(self, run: _Run) -> Region:
        allocation = run.allocation
        state = MEM_COMMIT if run.protect else MEM_RESERVE
        size = run.end - run.start
        return Region(run.start, size, allocation.base, allocation.protect, state, run.protect, allocation.type)

    # --- the services

    def allocate(self, base: int, size: int, allocation_type: int, protect: int) -> tuple[int, int]:
        """NtAllocateVirtualMemory: (base, size) of what was reserved or committed, rounded as Windows does."""
        known = MEM_COMMIT | MEM_RESERVE | MEM_RESET | MEM_RESET_UNDO | MEM_TOP_DOWN | MEM_WRITE_WATCH
        resets = allocation_type & (MEM_RESET | MEM_RESET_UNDO)
        if allocation_type & ~known or (not allocation_type & (MEM_COMMIT | MEM_RESERVE) and not resets):
            raise StatusError(Status.INVALID_PARAMETER_5)
        if resets and allocation_type != resets:
            raise StatusError(Status.INVALID_PARAMETER_5)
        if not valid_protection(protect) or protect & (PAGE_WRITECOPY | PAGE_EXECUTE_WRITECOPY):
            raise StatusError(Status.INVALID_PAGE_PROTECTION)
        if base >= USER_END:
            raise StatusError(Status.INVALID_PARAMETER_2)
        if size > USER_END - base:
            raise StatusError(Status.INVALID_PARAMETER_3)
        if size == 0:
            raise StatusError(Status.INVALID_PARAMETER_4)
        if resets:
            return self._reset(base, size)
        if base == 0 or allocation_type & MEM_RESERVE:
            return self._reserve(base, size, allocation_type, protect)
        return self._commit(page_floor(base), page_ceiling(base + size), protect)

    def _reserve(self, base: int, size: int, allocation_type: int, protect: int) -> tuple[int, int]:
        if base == 0:
            size = page_ceiling(size)
            start = self.find_free(size)
        else:
            start = base & ~(ALLOCATION_GRANULARITY - 1)
            size = page_ceiling(base + size) - start
            if start < LOWEST_USER_ADDRESS or self._overlapping(start, start + size):
                raise StatusError(Status.CONFLICTING_ADDRESSES)
        commit = bool(allocation_type & MEM_COMMIT)
        if commit:
            self._pages.commit(start, size // PAGE_SIZE, protect)
        self._insert(_Run(start, start + size, Allocation(start, protect, MEM_PRIVATE), protect if commit else 0))
        return start, size

    def _commit(self, start: int, end: int, protect: int) -> tuple[int, int]:
        allocation = self._whole(start, end)
        if allocation.type != MEM_PRIVATE:
            raise StatusError(Status.ALREADY_COMMITTED)
        # Committed pages keep their bytes and take the new protection.
        fresh = [run for run in self._clipped(start, end) if not run.protect]
        done: list[_Run] = []
        try:
            for run in fresh:
                self._pages.commit(run.start, (run.end - run.start) // PAGE_SIZE, protect)
                done.append(run)
        except StatusError:
            for run in done:
                self._pages.decommit(run.start, (run.end - run.start) // PAGE_SIZE)
            raise
        for run in self._clipped(start, end):
            if run.protect:
                self._pages.protect(run.start, (run.end - run.start) // PAGE_SIZE, protect)
        self._set(start, end, protect)
        return start, end - start

    def _reset(self, base: int, size: int) -> tuple[int, int]:
        """MEM_RESET: the contents may be dropped; keeping them is allowed."""
        start, end = page_floor(base), page_ceiling(base + size)
        if self._whole(start, end).type != MEM_PRIVATE:
            raise StatusError(Status.CONFLICTING_ADDRESSES)
        return start, end - start

    def free(self, base: int, size: int, free_type: int) -> tuple[int, int]:
        """NtFreeVirtualMemory: (base, size) of what was released or decommitted."""
        if free_type not in (MEM_DECOMMIT, MEM_RELEASE):
            raise StatusError(Status.INVALID_PARAMETER_4)
        if base >= USER_END:
            raise StatusError(Status.INVALID_PARAMETER_2)
        if size > USER_END - base:
            raise StatusError(Status.INVALID_PARAMETER_3)
        start = page_floor(base)
        allocation = self.allocation_at(start)
        if allocation is None:
            raise StatusError(Status.MEMORY_NOT_ALLOCATED)
        if allocation.type != MEM_PRIVATE:
            raise StatusError(Status.UNABLE_TO_DELETE_SECTION)
        low, high = self.extent(allocation)
        if size == 0:
            if start != low:
                raise StatusError(Status.FREE_VM_NOT_AT_BASE)
            end = high
        else:
            end = page_ceiling(base + size)
            if end > high:
                raise StatusError(Status.UNABLE_TO_FREE_VM)
        for run in self._clipped(start, end):
            if run.protect:
                self._pages.decommit(run.start, (run.end - run.start) // PAGE_SIZE)
        if free_type == MEM_DECOMMIT:
            self._set(start, end, 0)
        else:
            self._remove(start, end, allocation)
        return start, end - start

    def protect(self, base: int, size: int, protect: int) -> tuple[int, int, int]:
        """NtProtectVirtualMemory: (base, size, old protection of the first page)."""
        if not valid_protection(protect):
            raise StatusError(Status.INVALID_PAGE_PROTECTION)
        if base >= USER_END:
            raise StatusError(Status.INVALID_PARAMETER_2)
        if size == 0 or size > USER_END - base:
            raise StatusError(Status.INVALID_PARAMETER_3)
        start, end = page_floor(base), page_ceiling(base + size)
        allocation = self._whole(start, end)
        if allocation.type != MEM_IMAGE and protect & (PAGE_WRITECOPY | PAGE_EXECUTE_WRITECOPY):
            raise StatusError(Status.INVALID_PAGE_PROTECTION)
        runs = self._clipped(start, end)
        if any(not run.protect for run in runs):
            raise StatusError(Status.NOT_COMMITTED)
        self._pages.protect(start, (end - start) // PAGE_SIZE, protect)
        self._set(start, end, protect)
        return start, end - start, runs[0].protect

    # --- what the kernel itself does

    def secure(self, allocation_base: int) -> None:
        """The program may not free or protect this allocation (MmSecureVirtualMemory: PEB, TEBs, KUSER_SHARED_DATA)."""
        self._secured.add(allocation_base)

    def refuse_secured(self, base: int) -> None:
        """What a service that frees, commits or protects at ``base`` checks first: INVALID_PAGE_PROTECTION."""
        allocation = self.allocation_at(page_floor(base))
        if allocation is not None and allocation.base in self._secured:
            raise StatusError(Status.INVALID_PAGE_PROTECTION)

    def find_free(self, size: int, low: int | None = None) -> int:
        """The lowest free place for ``size`` bytes from ``low`` (default: the bottom-up start) on, else NO_MEMORY."""
        for first in (self._bottom_up if low is None else low, LOWEST_USER_ADDRESS):
            at = _granule(first)
            for run in self._runs[max(bisect_right(self._starts, at) - 1, 0) :]:
                if run.end <= at:
                    continue
                if run.start >= at + size:
                    break
                at = _granule(run.end)
            if at + size <= USER_END:
                return at
        raise StatusError(Status.NO_MEMORY)

    def insert_view(self, base: int, size: int, protect: int, view_type: int) -> Allocation:
        """Record a view of a section (MEM_MAPPED, MEM_IMAGE) or a kernel-made private page, all committed with
        ``protect``. The caller has mapped the pages. CONFLICTING_ADDRESSES when the place is taken."""
        if base % PAGE_SIZE or size % PAGE_SIZE or self._overlapping(base, base + size):
            raise StatusError(Status.CONFLICTING_ADDRESSES)
        allocation = Allocation(base, protect, view_type)
        self._insert(_Run(base, base + size, allocation, protect))
        return allocation

    def remove_view(self, address: int) -> tuple[int, int]:
        """NtUnmapViewOfSection: forget the view that covers ``address``; returns (base, size). The caller unmaps the
        pages. NOT_MAPPED_VIEW when there is none."""
        allocation = self.allocation_at(address)
        if allocation is None or allocation.type not in (MEM_MAPPED, MEM_IMAGE):
            raise StatusError(Status.NOT_MAPPED_VIEW)
        low, high = self.extent(allocation)
        self._cut(low, high)
        return low, high - low

    def set_protection(self, start: int, end: int, protect: int) -> None:
        """Change committed pages as the memory manager does by itself: guard page hit, copy on write, sections."""
        self._pages.protect(start, (end - start) // PAGE_SIZE, protect)
        self._set(start, end, protect)

    # --- keeping the list

    def _whole(self, start: int, end: int) -> Allocation:
        """The one allocation that covers ``[start, end)``, else CONFLICTING_ADDRESSES."""
        allocation = self.allocation_at(start)
        if allocation is None or end > self.extent(allocation)[1]:
            raise StatusError(Status.CONFLICTING_ADDRESSES)
        return allocation

    def _clipped(self, start: int, end: int) -> list[_Run]:
        found = self._overlapping(start, end)
        return [replace(run, start=max(run.start, start), end=min(run.end, end)) for run in found]

    def _insert(self, run: _Run) -> None:
        at = bisect_right(self._starts, run.start)
        self._runs.insert(at, run)
        self._starts.insert(at, run.start)

    def _cut(self, start: int, end: int) -> None:
        """Take ``[start, end)`` out, splitting what sticks out on either side."""
        pieces = self._overlapping(start, end)
        if not pieces:
            return
        first = bisect_right(self._starts, pieces[0].start) - 1
        rest = [replace(run, end=start) for run in pieces[:1] if run.start < start]
        rest += [replace(run, start=end) for run in pieces[-1:] if run.end > end]
        self._runs[first : first + len(pieces)] = rest
        self._starts[first : first + len(pieces)] = [run.start for run in rest]

    def _set(self, start: int, end: int, protect: int) -> None:
        """Give ``[start, end)`` of one allocation one protection and merge with equal neighbours."""
        allocation = self._whole(start, end)
        self._cut(start, end)
        before, after = self._run_at(start - 1), self._run_at(end)
        if before is not None and before.allocation is allocation and before.protect == protect:
            start = before.start
            self._cut(before.start, before.end)
        if after is not None and after.allocation is allocation and after.protect == protect:
            end = after.end
            self._cut(after.start, after.end)
        self._insert(_Run(start, end, allocation, protect))

    def _remove(self, start: int, end: int, allocation: Allocation) -> None:
        """Release a part or the whole: what is left above it becomes an allocation of its own, as its VAD does."""
        self._cut(start, end)
        above = Allocation(end, allocation.protect, allocation.type)
        for index, run in enumerate(self._runs):
            if run.start >= end and run.allocation is allocation:
                self._runs[index] = replace(run, allocation=above)


def _granule(address: int) -> int:
    return (max(address, LOWEST_USER_ADDRESS) + ALLOCATION_GRANULARITY - 1) & ~(ALLOCATION_GRANULARITY - 1)


def _free(start: int, end: int) -> Region:
    """Free memory: AllocationBase, AllocationProtect and Type 0, Protect PAGE_NOACCESS (spec user-mode 3.9, V40)."""
    return Region(start, end - start, 0, 0, MEM_FREE, PAGE_NOACCESS, 0)
