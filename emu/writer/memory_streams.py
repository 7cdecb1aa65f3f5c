"""The streams about memory: its bytes, by 32-bit or by 64-bit descriptors, and the description of its regions."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

from ..constants import Hresult
from ..plan.filters import filtered
from ..plan.memory import RangePlan
from ..plan.reading import Reading
from ..plan.user import Plan
from ..request import DumpRefused
from ..snapshot.process import ProcessSnapshot
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
    """The bytes of every planned range in list order, filtered as planned; and where each range will be.

    Nothing is copied but what a filter changes, and long zeros of sparse memory take no room. Raises DumpRefused with
    ERROR_PARTIAL_COPY when a range cannot be read.
    """
    section = Section("Memory")
    places: dict[tuple[int, int], Label] = {}
    reading = Reading(snapshot)
    for index, planned in enumerate(plan.ranges):
        path, at = f"Memory[{index}]", planned.start
        for piece in _read(reading, planned, faults):
            part = path if at == planned.start else f"{path}+{at - planned.start:#x}"
            if isinstance(piece, int):
                start = section.add_zeros(part, "memory", piece)
                at += piece
            else:
                start = section.add(part, "memory", filtered(plan.filters, at, piece))
                at += len(piece)
            places.setdefault((planned.start, planned.end), start)
    return section, places


def _read(reading: Reading, planned: RangePlan, faults: Faults) -> Iterator[memoryview | int]:
    try:
        faults.reach(FaultPoint.READ_MEMORY)
        pieces = reading.pieces(planned.start, planned.end)
    except OSError:
        pieces = None
    if pieces is None:
        raise DumpRefused(Hresult.ERROR_PARTIAL_COPY, f"memory {planned.start:#x}..{planned.end:#x} cannot be read")
    return pieces


def add_memory_list(plan: Plan, places: dict[tuple[int, int], Label]) -> Section:
    """MemoryList (spec 3.8): the RVAs ascend and follow each other in list order.

    Raises DumpRefused with ERROR_FILE_TOO_LARGE when the memory alone is more than 32-bit RVAs reach.
    """
    size = sum(planned.size for planned in plan.ranges)
    if size >> 32:
        raise DumpRefused(
            Hresult.ERROR_FILE_TOO_LARGE,
            f"MemoryList: {size:#x} bytes of memory, but its RVAs have 32 bits; FULL_MEMORY has a list without",
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
    """Memory64List (spec 3.8): one BaseRva, then start and size of each range; their bytes follow it in order (V11)."""
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
    """MemoryInfoList: the VirtualQuery walk of the whole user address space (spec 3.9)."""
    section = Section("MemoryInfoList")
    add_struct(section, "MemoryInfoList", MINIDUMP_MEMORY_INFO_LIST, {
        "SizeOfHeader": ctypes.sizeof(MINIDUMP_MEMORY_INFO_LIST),
        "SizeOfEntry": ctypes.sizeof(MINIDUMP_MEMORY_INFO),
        "NumberOfEntries": len(snapshot.regions),
    })  # fmt: skip
    for index, region in enumerate(snapshot.regions):
        add_struct(section, f"MemoryInfoList.Entries[{index}]", MINIDUMP_MEMORY_INFO, {
            "BaseAddress": region.base,
            "AllocationBase": region.allocation_base,
            "AllocationProtect": region.allocation_protect,
            "RegionSize": region.size,
            "State": region.state,
            "Protect": region.protect,
            "Type": region.type,
        }, zero=["__alignment1", "__alignment2"])  # fmt: skip
    return section
