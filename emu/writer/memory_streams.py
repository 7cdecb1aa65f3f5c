"""Writes MemoryListStream, Memory64ListStream and MemoryInfoListStream (docs/format/minidump-memory.md).

``add_range`` also serves the legacy user dump: it adds one range of the target's memory to a section.
"""

from __future__ import annotations

import ctypes

from ..constants import Hresult
from ..plan.filters import TriageFilter
from ..plan.ranges import Range
from ..plan.reading import Reading
from ..plan.user import Plan
from ..request import DumpRefused
from ..snapshot.process import ProcessSnapshot, Region
from .encode import add_struct
from .faults import FaultPoint, Faults
from .layout import Label, Section
from .structs import (
    MINIDUMP_MEMORY64_LIST,
    MINIDUMP_MEMORY_DESCRIPTOR,
    MINIDUMP_MEMORY_DESCRIPTOR64,
    MINIDUMP_MEMORY_INFO,
    MINIDUMP_MEMORY_INFO_LIST,
    MINIDUMP_MEMORY_LIST,
)


def add_memory(snapshot: ProcessSnapshot, plan: Plan, faults: Faults) -> tuple[Section, dict[tuple[int, int], Label]]:
    """Return the bytes of every planned range, filtered, in list order; and the label of each range by (start, end).

    Raises DumpRefused with ERROR_PARTIAL_COPY when a range cannot be read.
    """
    section = Section("Memory")
    places: dict[tuple[int, int], Label] = {}
    reading = Reading(snapshot)
    for index, planned in enumerate(plan.ranges):
        addresses = planned.start, planned.end
        if not planned.size:  # memory of a Memory64List that could not be read
            continue
        label = add_range(section, f"Memory[{index}]", reading, addresses, faults, triage=plan.triage)
        if label is not None:
            places.setdefault(addresses, label)
    return section, places


def add_range(
    section: Section,
    path: str,
    reading: Reading,
    addresses: Range,
    faults: Faults,
    *,
    triage: TriageFilter | None = None,
) -> Label | None:
    """Append the memory [start, end) after ``triage``. Return the label of its start, None if there are no bytes.

    Bytes are copied only if a filter changes them. Long zeros of sparse memory take no room. Raises DumpRefused with
    ERROR_PARTIAL_COPY when the range cannot be read.
    """
    start, end = addresses
    try:
        faults.reach(FaultPoint.READ_MEMORY)
        pieces = reading.pieces(start, end)
    except OSError:
        pieces = None
    if pieces is None:
        raise DumpRefused(Hresult.ERROR_PARTIAL_COPY, f"memory {start:#x}..{end:#x} cannot be read")
    first: Label | None = None
    at = start
    for piece in pieces:
        part = path if at == start else f"{path}+{at - start:#x}"
        if isinstance(piece, int):
            label = section.add_zeros(part, "memory", piece)
            at += piece
        else:
            label = section.add(part, "memory", triage.apply(at, piece) if triage else piece)
            at += len(piece)
        first = first or label
    return first


def add_memory_list(plan: Plan, places: dict[tuple[int, int], Label]) -> Section:
    """Return MemoryList. The RVAs ascend without gaps, in list order (docs/format/minidump-memory.md#memory-list).

    Raises DumpRefused with ERROR_FILE_TOO_LARGE when the memory alone takes more than 4 GiB.
    """
    size = sum(planned.size for planned in plan.ranges)
    if size >> 32:
        raise DumpRefused(
            Hresult.ERROR_FILE_TOO_LARGE,
            f"MemoryList: {size:#x} bytes of memory, more than 32-bit RVAs can address; FULL_MEMORY has no such limit",
        )
    section = Section("MemoryList")
    add_struct(section, "MemoryList", MINIDUMP_MEMORY_LIST, {"NumberOfMemoryRanges": len(plan.ranges)})
    for index, planned in enumerate(plan.ranges):
        add_struct(section, f"MemoryList.MemoryRanges[{index}]", MINIDUMP_MEMORY_DESCRIPTOR, {
            "StartOfMemoryRange": planned.start,
            "Memory": {"DataSize": planned.size, "Rva": places[planned.start, planned.end]},
        })  # fmt: skip
    return section


def add_memory64_list(plan: Plan, memory: Section) -> Section:
    """Return Memory64List: BaseRva, then start and size of each range; the bytes lie at BaseRva in list order.

    docs/format/minidump-memory.md#memory64-list
    """
    section = Section("Memory64List")
    add_struct(section, "Memory64List", MINIDUMP_MEMORY64_LIST, {
        "NumberOfMemoryRanges": len(plan.ranges),
        "BaseRva": memory.start,
    })  # fmt: skip
    for index, planned in enumerate(plan.ranges):
        add_struct(section, f"Memory64List.MemoryRanges[{index}]", MINIDUMP_MEMORY_DESCRIPTOR64, {
            "StartOfMemoryRange": planned.start,
            "DataSize": planned.size,
        })  # fmt: skip
    return section


def add_memory_info_list(snapshot: ProcessSnapshot) -> Section:
    """Return MemoryInfoList: the VirtualQuery walk of the whole user address space.

    docs/format/minidump-memory.md#memory-info-list
    """
    section = Section("MemoryInfoList")
    add_struct(section, "MemoryInfoList", MINIDUMP_MEMORY_INFO_LIST, {
        "SizeOfHeader": ctypes.sizeof(MINIDUMP_MEMORY_INFO_LIST),
        "SizeOfEntry": ctypes.sizeof(MINIDUMP_MEMORY_INFO),
        "NumberOfEntries": len(snapshot.regions),
    })  # fmt: skip
    for index, region in enumerate(snapshot.regions):
        path = f"MemoryInfoList.Entries[{index}]"
        add_struct(section, path, MINIDUMP_MEMORY_INFO, region_fields(region), zero=["__alignment1", "__alignment2"])
    return section


def region_fields(region: Region) -> dict[str, int]:
    """Return the fields of MEMORY_BASIC_INFORMATION (winnt.h), which both kinds of user dumps store."""
    return {
        "BaseAddress": region.base,
        "AllocationBase": region.allocation_base,
        "AllocationProtect": region.allocation_protect,
        "RegionSize": region.size,
        "State": region.state,
        "Protect": region.protect,
        "Type": region.type,
    }
