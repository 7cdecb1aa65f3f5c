"""The streams about memory: its bytes, by 32-bit or by 64-bit descriptors, and the description of its regions."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

from ..constants import Hresult
from ..plan.reading import Reading
from ..plan.request import DumpRefused
from ..plan.user import Plan
from ..snapshot.model import ProcessSnapshot
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
    """The bytes of every planned range, in list order and without a copy; and where each range will be.

    Raises DumpRefused with ERROR_PARTIAL_COPY when a range cannot be read.
    """
    section = Section("Memory")
    places = {}
    for index, (start, end, data) in enumerate(_read(snapshot, plan, faults)):
        places[start, end] = section.add(f"Memory[{index}]", "memory", data)
    return section, places


def _read(snapshot: ProcessSnapshot, plan: Plan, faults: Faults) -> Iterator[tuple[int, int, memoryview]]:
    reading = Reading(snapshot)
    for planned in plan.ranges:
        try:
            faults.reach(FaultPoint.READ_MEMORY)
            data = reading.view(planned.start, planned.end)
        except OSError:
            data = None
        if data is None:
            raise DumpRefused(
                Hresult.ERROR_PARTIAL_COPY, f"memory {planned.start:#x}..{planned.end:#x} cannot be read"
            )
        for filter_ in plan.filters:
            data = filter_.apply(planned.start, data)
        yield planned.start, planned.end, data


def add_memory_list(plan: Plan, places: dict[tuple[int, int], Label]) -> Section:
    """MemoryList (spec 3.8): the RVAs ascend and follow each other in list order."""
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
