"""Writes the part of a small kernel dump after the main header: triage header, parts, data blocks, end marker.

Format: docs/format/kernel-small.md, docs/format/kernel-small-layouts.md.
"""

from __future__ import annotations

import struct

from ..constants import Hresult
from ..plan.kernel_blocks import BlockPlan
from ..plan.kernel_constants import TRIAGE_DUMP_VALID
from ..plan.kernel_memory import PhysicalMemory, VirtualMemory
from ..plan.kernel_small import SmallLayout, SmallPlan
from ..request import DumpRefused
from ..snapshot.kernel import KernelSnapshot
from .encode import add_struct
from .faults import FaultPoint, Faults
from .kernel_structs import DUMP_HEADER64, TRIAGE_DATA_BLOCK, TRIAGE_DUMP64
from .layout import Label, LayoutError, Section
from .triage_lists import driver_list, mm_storage, unloaded_drivers

_TRIAGE_OPTIONS = {  # docs/format/kernel-small-layouts.md#how-to-tell-a-from-b
    SmallLayout.A: 0xFFFFFFFF,
    SmallLayout.B: 0x41,
}
_MARKER = struct.pack("<I", TRIAGE_DUMP_VALID)
_SECTOR = 512
_MAIN_HEADER = 0x2000


def triage_sections(snapshot: KernelSnapshot, plan: SmallPlan, faults: Faults, size_of_dump: Label) -> list[Section]:
    """Return all sections from offset 0x2000 to the end marker, in the order of the plan's layout, without a gap.

    ``size_of_dump`` is the value of SizeOfDump: the offset of the secondary data behind the marker. Order of the
    parts: docs/format/kernel-small-layouts.md#order-of-the-parts.

    Raises DumpRefused with ERROR_PARTIAL_COPY when memory cannot be read, LayoutError when the parts exceed the fixed
    size of the build.
    """
    memory = VirtualMemory(PhysicalMemory(snapshot), snapshot.directory_table_base)
    raw = {
        name: _raw(name, block, memory, faults)
        for name, block in (
            ("Prcb", plan.prcb), ("Process", plan.process), ("Thread", plan.thread), ("CallStack", plan.stack),
            ("DebuggerData", plan.debugger_data),
        )
    }  # fmt: skip
    if plan.debugger_data_size > plan.debugger_data.size:
        raw["DebuggerData"].add_zeros("DebuggerData.Rest", "padding", plan.debugger_data_size - plan.debugger_data.size)
    header = Section("TriageHeader")
    mm, unloaded = mm_storage(snapshot, plan), unloaded_drivers(snapshot, plan, memory)
    drivers, pool = driver_list(snapshot, plan, memory)
    table, blocks = _data_blocks(plan, memory, faults)
    end, valid = Section("TriageEnd"), Label("TriageEnd (valid)")
    if plan.layout is SmallLayout.A:
        body = [mm, unloaded, *raw.values(), drivers, pool, table, blocks]
    else:
        body = [mm, *raw.values(), unloaded, drivers, pool, table, blocks]
    add_struct(header, "TriageHeader", TRIAGE_DUMP64, {
        "SizeOfDump": size_of_dump,
        "ValidOffset": valid,
        "ContextOffset": DUMP_HEADER64.ContextRecord.offset,
        "ExceptionOffset": DUMP_HEADER64.Exception.offset,
        "MmOffset": mm.start,
        "UnloadedDriversOffset": unloaded.start,
        "PrcbOffset": raw["Prcb"].start,
        "ProcessOffset": raw["Process"].start,
        "ThreadOffset": raw["Thread"].start,
        "CallStackOffset": raw["CallStack"].start,
        "SizeOfCallStack": raw["CallStack"].length,
        "DriverListOffset": drivers.start,
        "DriverCount": len(snapshot.drivers),
        "StringPoolOffset": pool.start,
        "StringPoolSize": pool.length,
        "TriageOptions": _TRIAGE_OPTIONS[plan.layout],
        "TopOfStack": plan.stack.address,
        "DebuggerDataOffset": raw["DebuggerData"].start,
        "DebuggerDataSize": raw["DebuggerData"].length,
        "DataBlocksOffset": table.start,
        "DataBlocksCount": len(plan.blocks),
    }, zero=["ServicePackBuild", "BrokenDriverOffset", "BStoreOffset", "SizeOfBStore", "LimitOfBStore",
             "DataPageAddress", "DataPageOffset", "DataPageSize"])  # fmt: skip
    sections = [header, *body, end]
    at = _MAIN_HEADER + sum(section.size for section in sections)
    _add_end(end, plan, at, valid)
    return sections


def _raw(name: str, block: BlockPlan, memory: VirtualMemory, faults: Faults) -> Section:
    section = Section(name)
    section.add(name, "memory", _read(block, memory, faults))
    return section


def _read(block: BlockPlan, memory: VirtualMemory, faults: Faults) -> bytes:
    try:
        faults.reach(FaultPoint.READ_MEMORY)
        data = memory.read(block.address, block.size)
        if data is None and block.zeros:
            data = _with_zeros(block, memory)
    except OSError:
        data = None
    if data is None:
        raise DumpRefused(
            Hresult.ERROR_PARTIAL_COPY,
            f"{block.reason}: {block.address:#x}..{block.address + block.size:#x} cannot be read",
        )
    return data


def _with_zeros(block: BlockPlan, memory: VirtualMemory) -> bytes:
    found = bytearray(block.size)
    for start, end in memory.readable(block.address, block.size):
        found[start - block.address : end - block.address] = memory.read(start, end - start) or b""
    return bytes(found)


def _data_blocks(plan: SmallPlan, memory: VirtualMemory, faults: Faults) -> tuple[Section, Section]:
    """Return the table and the bytes of the blocks, packed in the order of the table.

    docs/format/kernel-small.md#data-block-table
    """
    table, blocks = Section("DataBlockTable"), Section("DataBlocks")
    for index, block in enumerate(plan.blocks):
        place = blocks.add(f"DataBlocks[{index}].Data", "memory", _read(block, memory, faults))
        add_struct(table, f"DataBlocks[{index}]", TRIAGE_DATA_BLOCK, {
            "Address": block.address, "Offset": place, "Size": block.size
        })  # fmt: skip
    return table, blocks


def _add_end(end: Section, plan: SmallPlan, at: int, valid: Label) -> None:
    """Add padding and markers from offset ``at``, the end of the blocks, to the marker at ValidOffset.

    docs/format/kernel-small-layouts.md#place-of-the-end-marker
    """
    reserve = sum(-block.size % 8 for block in plan.blocks)
    if plan.fixed_size is not None:
        reserve = plan.fixed_size - len(_MARKER) - at
        if reserve < 0:
            raise LayoutError(f"TriageEnd: the dump exceeds the fixed size {plan.fixed_size:#x} by {-reserve:#x} bytes")
    if reserve:
        end.add("TriageEnd.Reserve", "padding", bytes(reserve))
    offset = at + reserve
    if plan.layout is SmallLayout.B:
        end.add("TriageEnd.First", "marker", _MARKER)
        whole = -(-(offset + len(_MARKER)) // _SECTOR) * _SECTOR
        rest = whole - offset - 2 * len(_MARKER)
        if rest:
            end.add("TriageEnd.Rest", "padding", bytes(rest))
        offset = whole - len(_MARKER)
    end.add("TriageEnd", "marker", _MARKER, fields={"Signature": (0, len(_MARKER))})
    valid.resolve(offset)
