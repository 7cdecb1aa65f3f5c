"""Keeps the regions of a user address space: allocation, protection, release, and the answers of VirtualQuery.

The table holds no pages. It reports every change to a ``Pages`` object, which holds them.
Semantics: the reference pages of VirtualAlloc, VirtualFree, VirtualProtect and VirtualQuery. Status codes: the pages of
ZwAllocateVirtualMemory and ZwFreeVirtualMemory (ntifs.h).

Addresses and sizes are in bytes. A failure raises ``StatusError`` with the NTSTATUS of Windows and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
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
from .ceilings import Ceilings
from .runs import Allocation, Run, RunList
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
"""End of a VirtualQuery walk on amd64 (docs/format/minidump-memory.md#walk-of-the-address-space).

VirtualQuery does not report the last 64 KiB below 2**47.
"""

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
    """Holds the pages of committed memory. ``start`` is page aligned; ``count`` is a number of pages."""

    def commit(self, start: int, count: int, protect: int) -> None:
        """Map zeroed private pages, or raise ``StatusError`` (COMMITMENT_LIMIT) without any change."""

    def decommit(self, start: int, count: int) -> None: ...

    def protect(self, start: int, count: int, protect: int) -> None: ...


def page_floor(address: int) -> int:
    """``address`` rounded down to a page boundary."""
    return address & ~(PAGE_SIZE - 1)


def page_ceiling(address: int) -> int:
    """``address`` rounded up to a page boundary."""
    return (address + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1)


def valid_protection(protect: int) -> bool:
    """Whether ``protect`` is one base protection with permitted modifiers (memoryapi.h).

    NOACCESS permits no modifier. NOCACHE and WRITECOMBINE exclude each other.
    """
    base, modifiers = protect & ~_MODIFIERS, protect & _MODIFIERS
    if base not in _BASE_PROTECTIONS:
        return False
    if base == PAGE_NOACCESS and modifiers:
        return False
    return modifiers & (PAGE_NOCACHE | PAGE_WRITECOMBINE) != PAGE_NOCACHE | PAGE_WRITECOMBINE


class AddressSpace:
    """The user half of one process's address space.

    ``bottom_up`` is the address where the search for a free range starts. Windows randomises it. ``meter`` limits the
    number of regions.
    """

    def __init__(self, pages: Pages, *, bottom_up: int = LOWEST_USER_ADDRESS, meter: Ceilings | None = None) -> None:
        self._pages = pages
        self._bottom_up = bottom_up
        self._meter = meter or Ceilings()
        self._full: dict[tuple[int, int], int] = {}
        """(start of a search, size) -> an address below which no range of that size is free. Emptied by a release."""
        self._secured: set[int] = set()  # allocation bases
        self._runs = RunList()

    # --- looking up

    def protection(self, address: int) -> int:
        """PAGE_* of the page at ``address``; 0 if it is not committed."""
        run = self._runs.at(address)
        return 0 if run is None else run.protect

    def allocation_at(self, address: int) -> Allocation | None:
        """The allocation that contains ``address``, or None."""
        run = self._runs.at(address)
        return None if run is None else run.allocation

    def extent(self, allocation: Allocation) -> tuple[int, int]:
        """(first byte, one past the last byte) of the allocation. Raises KeyError if it was released."""
        runs = self._runs.of(allocation)
        if not runs:
            raise KeyError(f"no allocation at 0x{allocation.base:X}")
        return runs[0].start, runs[-1].end

    def is_free(self, start: int, size: int) -> bool:
        """Whether the whole range lies in user space and is free."""
        return (
            start >= LOWEST_USER_ADDRESS
            and start + size <= USER_END
            and not self._runs.overlapping(start, start + size)
        )

    def query(self, address: int) -> Region:
        """MEMORY_BASIC_INFORMATION of ``address``. Raises INVALID_PARAMETER outside user space."""
        if not 0 <= address < USER_END:
            raise StatusError(Status.INVALID_PARAMETER)
        base = page_floor(address)
        run = self._runs.at(base)
        if run is not None:
            return self._row(replace(run, start=base))
        following = self._runs.next_start(base)
        return _free(base, USER_END if following is None else following)

    def walk(self) -> Iterator[Region]:
        """Every region of a VirtualQuery walk, from 0 to ``USER_END`` without a gap."""
        at = 0
        for run in self._runs:
            if at < run.start:
                yield _free(at, run.start)
            yield self._row(run)
            at = run.end
        if at < USER_END:
            yield _free(at, USER_END)

    def _row(self, run: Run) -> Region:
        allocation = run.allocation
        state = MEM_COMMIT if run.protect else MEM_RESERVE
        size = run.end - run.start
        return Region(run.start, size, allocation.base, allocation.protect, state, run.protect, allocation.type)

    # --- the services

    def allocate(self, base: int, size: int, allocation_type: int, protect: int) -> tuple[int, int]:
        """NtAllocateVirtualMemory. Returns (base, size) of the reserved or committed range, rounded as Windows does."""
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
        self._admit_regions()
        if base == 0 or allocation_type & MEM_RESERVE:
            return self._reserve(base, size, allocation_type, protect)
        return self._commit(page_floor(base), page_ceiling(base + size), protect)

    def _admit_regions(self) -> None:
        """Admit the two regions that a change of a part of a region adds. Raises INSUFFICIENT_RESOURCES."""
        self._meter.admit("regions", len(self._runs) + 1)

    def _reserve(self, base: int, size: int, allocation_type: int, protect: int) -> tuple[int, int]:
        if base == 0:
            size = page_ceiling(size)
            start = self.find_free(size)
        else:
            start = base & ~(ALLOCATION_GRANULARITY - 1)
            size = page_ceiling(base + size) - start
            if start < LOWEST_USER_ADDRESS or self._runs.overlapping(start, start + size):
                raise StatusError(Status.CONFLICTING_ADDRESSES)
        commit = bool(allocation_type & MEM_COMMIT)
        if commit:
            self._pages.commit(start, size // PAGE_SIZE, protect)
        self._runs.insert(Run(start, start + size, Allocation(start, protect, MEM_PRIVATE), protect if commit else 0))
        return start, size

    def _commit(self, start: int, end: int, protect: int) -> tuple[int, int]:
        allocation = self._whole(start, end)
        if allocation.type != MEM_PRIVATE:
            raise StatusError(Status.ALREADY_COMMITTED)
        # Pages that are committed already keep their bytes and get the new protection.
        fresh = [run for run in self._runs.clipped(start, end) if not run.protect]
        done: list[Run] = []
        try:
            for run in fresh:
                self._pages.commit(run.start, (run.end - run.start) // PAGE_SIZE, protect)
                done.append(run)
        except StatusError:
            for run in done:
                self._pages.decommit(run.start, (run.end - run.start) // PAGE_SIZE)
            raise
        for run in self._runs.clipped(start, end):
            if run.protect:
                self._pages.protect(run.start, (run.end - run.start) // PAGE_SIZE, protect)
        self._runs.set(start, end, self._whole(start, end), protect)
        return start, end - start

    def _reset(self, base: int, size: int) -> tuple[int, int]:
        """MEM_RESET allows the system to drop the contents. This model keeps them."""
        start, end = page_floor(base), page_ceiling(base + size)
        if self._whole(start, end).type != MEM_PRIVATE:
            raise StatusError(Status.CONFLICTING_ADDRESSES)
        return start, end - start

    def free(self, base: int, size: int, free_type: int) -> tuple[int, int]:
        """NtFreeVirtualMemory. Returns (base, size) of the released or decommitted range."""
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
        if free_type == MEM_DECOMMIT or (start, end) != (low, high):
            self._admit_regions()
        for run in self._runs.clipped(start, end):
            if run.protect:
                self._pages.decommit(run.start, (run.end - run.start) // PAGE_SIZE)
        if free_type == MEM_DECOMMIT:
            self._runs.set(start, end, self._whole(start, end), 0)
        else:
            self._full.clear()
            self._runs.remove(start, end, allocation)
        return start, end - start

    def protect(self, base: int, size: int, protect: int) -> tuple[int, int, int]:
        """NtProtectVirtualMemory. Returns (base, size, old protection of the first page)."""
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
        runs = self._runs.clipped(start, end)
        if any(not run.protect for run in runs):
            raise StatusError(Status.NOT_COMMITTED)
        self._admit_regions()
        self._pages.protect(start, (end - start) // PAGE_SIZE, protect)
        self._runs.set(start, end, self._whole(start, end), protect)
        return start, end - start, runs[0].protect

    # --- operations of the kernel

    def secure(self, allocation_base: int) -> None:
        """Forbid the program to free or protect an allocation (MmSecureVirtualMemory): PEB, TEBs, KUSER_SHARED_DATA."""
        self._secured.add(allocation_base)

    def refuse_secured(self, base: int) -> None:
        """Raise INVALID_PAGE_PROTECTION if ``base`` lies in a secured allocation.

        Services that free, commit or protect memory call it first.
        """
        allocation = self.allocation_at(page_floor(base))
        if allocation is not None and allocation.base in self._secured:
            raise StatusError(Status.INVALID_PAGE_PROTECTION)

    def find_free(self, size: int, low: int | None = None) -> int:
        """The lowest free address for ``size`` bytes at or above ``low`` (default: ``bottom_up``).

        If there is none, searches from LOWEST_USER_ADDRESS. Raises NO_MEMORY.
        """
        for first in (self._bottom_up if low is None else low, LOWEST_USER_ADDRESS):
            at = self._full.get((first, size), _granule(first))
            for run in self._runs.from_address(at):
                if run.end <= at:
                    continue
                if run.start >= at + size:
                    break
                at = _granule(run.end)
            self._full[first, size] = at
            if at + size <= USER_END:
                return at
        raise StatusError(Status.NO_MEMORY)

    def insert_view(self, base: int, size: int, protect: int, view_type: int) -> Allocation:
        """Record a view of a section (MEM_MAPPED, MEM_IMAGE) or a private page of the kernel.

        All pages are committed with ``protect``. The caller has mapped them. Raises CONFLICTING_ADDRESSES if the range
        is not free.
        """
        if base % PAGE_SIZE or size % PAGE_SIZE or self._runs.overlapping(base, base + size):
            raise StatusError(Status.CONFLICTING_ADDRESSES)
        self._admit_regions()
        allocation = Allocation(base, protect, view_type)
        self._runs.insert(Run(base, base + size, allocation, protect))
        return allocation

    def remove_view(self, address: int) -> tuple[int, int]:
        """Remove the view that covers ``address`` (NtUnmapViewOfSection) and return its (base, size).

        The caller unmaps the pages. Raises NOT_MAPPED_VIEW if no view covers the address.
        """
        allocation = self.allocation_at(address)
        if allocation is None or allocation.type not in (MEM_MAPPED, MEM_IMAGE):
            raise StatusError(Status.NOT_MAPPED_VIEW)
        low, high = self.extent(allocation)
        self._full.clear()
        self._runs.cut(low, high)
        return low, high - low

    def set_protection(self, start: int, end: int, protect: int) -> None:
        """Change the protection of committed pages without the checks of ``protect``.

        For changes of the memory manager: guard pages, copy on write, sections of images.
        """
        self._pages.protect(start, (end - start) // PAGE_SIZE, protect)
        self._runs.set(start, end, self._whole(start, end), protect)

    def _whole(self, start: int, end: int) -> Allocation:
        """The allocation that covers all of ``[start, end)``. Raises CONFLICTING_ADDRESSES."""
        allocation = self.allocation_at(start)
        if allocation is None or end > self.extent(allocation)[1]:
            raise StatusError(Status.CONFLICTING_ADDRESSES)
        return allocation


def _granule(address: int) -> int:
    return (max(address, LOWEST_USER_ADDRESS) + ALLOCATION_GRANULARITY - 1) & ~(ALLOCATION_GRANULARITY - 1)


def _free(start: int, end: int) -> Region:
    """A free region (docs/format/minidump-memory.md#free-and-reserved-regions)."""
    return Region(start, end - start, 0, 0, MEM_FREE, PAGE_NOACCESS, 0)
