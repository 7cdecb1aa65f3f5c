"""Writes the lists of a small kernel dump: drivers and their names, unloaded drivers, memory counts.

Format: docs/format/kernel-small.md#driver-list and the sections after it.
"""

from __future__ import annotations

import ctypes
import struct

from ..constants import Hresult
from ..plan.kernel_constants import MAXIMUM_UNLOADED
from ..plan.kernel_memory import VirtualMemory
from ..plan.kernel_small import SmallLayout, SmallPlan, name_record_size, string_pool_size
from ..request import DumpRefused
from ..snapshot.kernel import Driver, KernelSnapshot
from .encode import add_struct, fields_of, utf16
from .kernel_structs import DUMP_DRIVER_ENTRY64, DUMP_MM_STORAGE64, DUMP_UNLOADED_DRIVERS64, KLDR_DATA_TABLE_ENTRY64
from .layout import Cite, Label, Section

_LIVE_PART = KLDR_DATA_TABLE_ENTRY64.TimeDateStamp.offset  # from here on the live structure differs
_UNLOADED_NAME_UNITS = 12
_MAXIMUM_POOL_PAGES = 0x1_0000_0000  # both pool limits, in pages, in every real layout B dump
_LIVE_UNLOADED = struct.Struct("<HH4xQQQQ")  # UNLOADED_DRIVERS: Name, StartAddress, EndAddress, CurrentTime


def mm_storage(snapshot: KernelSnapshot, plan: SmallPlan) -> Section:
    """Return DUMP_MM_STORAGE64. In Windows' layout A the counters are zero, as in builds 19041 and 22000.

    docs/format/kernel-small.md#memory-manager-counts
    """
    section = Section("MmStorage")
    counters = dict(plan.memory_counts)
    if plan.layout is SmallLayout.B:
        ram = sum(count for _, count in snapshot.physical_runs)
        used = ram - sum(count for _, count in snapshot.free_pages)
        counters = {
            "MmMaximumNonPagedPool": _MAXIMUM_POOL_PAGES,
            "PagedPoolMaximum": _MAXIMUM_POOL_PAGES,
            "CommittedPages": used,
            "CommittedPagesPeak": used,
            "CommitLimitMaximum": ram,
        }
    names = [name for name, *_ in DUMP_MM_STORAGE64._fields_]
    values = {"Version": 1, "Size": ctypes.sizeof(DUMP_MM_STORAGE64), **counters}
    add_struct(section, "MmStorage", DUMP_MM_STORAGE64, values, zero=[name for name in names if name not in values])
    return section


def unloaded_drivers(snapshot: KernelSnapshot, plan: SmallPlan, memory: VirtualMemory) -> Section:
    """Return the count and the entries. Layout B has room for 50 entries and stores the address of each name.

    An engine stores MaximumLength of the target. docs/format/kernel-small.md#unloaded-drivers
    """
    section = Section("UnloadedDrivers")
    count = len(plan.unloaded)
    section.add("UnloadedDrivers", "count", struct.pack("<Q", count), fields={"NumberOfDrivers": (0, 8)})
    live = _live_names(snapshot, memory)
    for index, driver in enumerate(plan.unloaded):
        name = utf16(driver.name)[: 2 * _UNLOADED_NAME_UNITS]
        maximum, buffer = live.get((driver.start, driver.end), (len(name), 0))
        add_struct(section, f"UnloadedDrivers[{index}]", DUMP_UNLOADED_DRIVERS64, {
            "Name": {
                "Length": len(name),
                "MaximumLength": min(maximum, 2 * _UNLOADED_NAME_UNITS) if plan.writer.is_engine else len(name),
                "Padding": 0,
                "Buffer": buffer if plan.layout is SmallLayout.B else 0,
            },
            "DriverName": name.ljust(2 * _UNLOADED_NAME_UNITS, b"\0"),
            "StartAddress": driver.start,
            "EndAddress": driver.end,
        })  # fmt: skip
    room = (MAXIMUM_UNLOADED - count) * ctypes.sizeof(DUMP_UNLOADED_DRIVERS64)
    if plan.layout is SmallLayout.B and room:
        section.add("UnloadedDrivers.Room", "padding", bytes(room))
    return section


def _live_names(snapshot: KernelSnapshot, memory: VirtualMemory) -> dict[tuple[int, int], tuple[int, int]]:
    """Return MaximumLength and Buffer of each name in the target, by (start, end) of the driver."""
    array = memory.pointer(snapshot.symbols.mm_unloaded_drivers)
    data = memory.read(array, _LIVE_UNLOADED.size * MAXIMUM_UNLOADED) if array else None
    return {
        (start, end): (maximum, buffer) for _, maximum, buffer, start, end, _ in _LIVE_UNLOADED.iter_unpack(data or b"")
    }


def driver_list(snapshot: KernelSnapshot, plan: SmallPlan, memory: VirtualMemory) -> tuple[Section, Section]:
    """Return the driver list and the string pool with the names.

    docs/format/kernel-small.md#driver-list. Raises DumpRefused when layout B cannot read a driver's entry.
    """
    drivers, pool = Section("DriverList"), Section("StringPool")
    for index, (driver, name) in enumerate(zip(snapshot.drivers, plan.names, strict=True)):
        place = _add_name(pool, index, name)
        entry = _live_entry(driver, memory) if plan.layout is SmallLayout.B else _bare_entry(driver)
        drivers.add(
            f"DriverList[{index}]",
            DUMP_DRIVER_ENTRY64.__name__,
            bytes(8) + entry,
            fields=fields_of(DUMP_DRIVER_ENTRY64),
            cites=[Cite("DriverNameOffset", 0, 4, place)],
        )
    room = string_pool_size(plan.names, plan.layout) - pool.size
    if room:  # reads as empty strings: docs/format/kernel-small-layouts.md#string-pool-by-layout
        pool.add("StringPool.Room", "padding", bytes(room))
    return drivers, pool


def _add_name(pool: Section, index: int, name: str) -> Label:
    """Append a DUMP_STRING. Length counts UTF-16 units (docs/format/kernel-small.md#string-pool)."""
    text = utf16(name)
    data = (struct.pack("<I", len(text) // 2) + text).ljust(name_record_size(name), b"\0")
    fields = {"Length": (0, 4), "Buffer": (4, len(text))}
    return pool.add(f"StringPool[{index}]", "DUMP_STRING", data, fields=fields)


def _bare_entry(driver: Driver) -> bytes:
    """Return the entry of layout A, which fills four fields only."""
    entry = KLDR_DATA_TABLE_ENTRY64(
        DllBase=driver.base,
        SizeOfImage=driver.size,
        CheckSum=driver.checksum,
        TimeDateStamp=driver.time_date_stamp,
    )
    return bytes(entry)


def _live_entry(driver: Driver, memory: VirtualMemory) -> bytes:
    """Return the entry of layout B: the target's own, with TimeDateStamp where a triage dump has it."""
    live = memory.read(driver.entry, _LIVE_PART)
    if live is None:
        raise DumpRefused(
            Hresult.ERROR_PARTIAL_COPY, f"KLDR_DATA_TABLE_ENTRY {driver.entry:#x} of {driver.base_name} cannot be read"
        )
    return live + struct.pack("<II", driver.time_date_stamp, 0)
