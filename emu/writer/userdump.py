"""The legacy full user-mode dump, 'USERDUMP': from a plan to a layout to bytes (spec user-mode 2.6).

The structures' names and fields are those of the header that Microsoft Research published with the Singularity kit;
DEBUG_EVENT is minwinbase.h's and MEMORY_BASIC_INFORMATION winnt.h's. Every one exists for two sizes of a pointer.
"""

from __future__ import annotations

from collections.abc import Iterator
from ctypes import c_int32, c_uint32, c_uint64
from dataclasses import dataclass
from typing import Any

from ..constants import Hresult
from ..plan.legacy import LegacyPlan, plan_legacy
from ..plan.reading import Reading
from ..request import DumpRefused, Request
from ..snapshot.process import ExceptionEvent, ProcessSnapshot, Region
from .contexts import add_context
from .encode import add_struct
from .faults import FaultPoint, Faults
from .layout import Layout, LayoutError, LayoutMap, Section, Sink
from .sinks import BytesSink
from .structs import Packed
from .thread_streams import MAXIMUM_PARAMETERS

_SIGNATURE = int.from_bytes(b"USER", "little")
_EXCEPTION_DEBUG_EVENT = 1  # minwinbase.h
_IGNORE_GUARD_PAGES = 1
_ANSI = "cp1252"
_MACHINES = {"x86": 0x14C, "amd64": 0x8664, "arm64": 0xAA64}  # winnt.h IMAGE_FILE_MACHINE_*


def _struct(name: str, fields: list[tuple[str, Any]]) -> type[Packed]:
    return type(name, (Packed,), {"_fields_": fields})


CRASHDUMP_VERSION_INFO = _struct("CRASHDUMP_VERSION_INFO", [("IgnoreGuardPages", c_int32), ("PointerSize", c_uint32)])


class _Format:
    """The structures of one size of pointer: ``bits``."""

    def __init__(self, bits: int) -> None:
        pointer, wide = (c_uint64, True) if bits == 64 else (c_uint32, False)

        def pad(name: str) -> list[tuple[str, Any]]:  # what aligns the next pointer behind an odd number of ULONGs
            return [(name, c_uint32)] if wide else []

        self.bits = bits
        self.valid_dump = int.from_bytes(b"DU64" if wide else b"DUMP", "little")
        self.padding = ("__alignment1", "__alignment2") if wide else ()
        suffix = str(bits)
        self.header = _struct(f"USERMODE_CRASHDUMP_HEADER{suffix}", [
            *((name, c_uint32) for name in (
                "Signature", "ValidDump", "MajorVersion", "MinorVersion", "MachineImageType", "ThreadCount",
                "ModuleCount", "MemoryRegionCount",
            )),
            *((name, pointer) for name in (
                "ThreadOffset", "ModuleOffset", "DataOffset", "MemoryRegionOffset", "DebugEventOffset",
                "ThreadStateOffset", "VersionInfoOffset", "Spare1",
            )),
        ])  # fmt: skip
        self.thread = _struct(f"CRASH_THREAD{suffix}", [
            *((name, c_uint32) for name in ("ThreadId", "SuspendCount", "PriorityClass", "Priority")),
            ("Teb", pointer),
            *((f"Spare{index}", pointer) for index in range(7)),
        ])  # fmt: skip
        self.module = _struct(
            f"CRASH_MODULE{suffix}",
            [("BaseOfImage", pointer), ("SizeOfImage", c_uint32), ("ImageNameLength", c_uint32)],
        )
        self.region = _struct(f"MEMORY_BASIC_INFORMATION{suffix}", [
            ("BaseAddress", pointer),
            ("AllocationBase", pointer),
            ("AllocationProtect", c_uint32),
            *pad("__alignment1"),
            ("RegionSize", pointer),
            ("State", c_uint32),
            ("Protect", c_uint32),
            ("Type", c_uint32),
            *pad("__alignment2"),
        ])  # fmt: skip
        record = _struct(f"EXCEPTION_RECORD{suffix}", [
            ("ExceptionCode", c_uint32),
            ("ExceptionFlags", c_uint32),
            ("ExceptionRecord", pointer),
            ("ExceptionAddress", pointer),
            ("NumberParameters", c_uint32),
            *pad("__unusedAlignment"),
            ("ExceptionInformation", pointer * MAXIMUM_PARAMETERS),
        ])  # fmt: skip
        self.event = _struct(f"DEBUG_EVENT{suffix}", [
            ("dwDebugEventCode", c_uint32),
            ("dwProcessId", c_uint32),
            ("dwThreadId", c_uint32),
            *pad("__alignment1"),
            ("ExceptionRecord", record),  # EXCEPTION_DEBUG_INFO, the longest member of the union
            ("dwFirstChance", c_uint32),
            *pad("__alignment2"),
        ])  # fmt: skip


_FORMATS = {bits: _Format(bits) for bits in (32, 64)}


@dataclass(frozen=True)
class UserDumpResult:
    """What was written: the plan, the map of every byte, what people should know, the file's size."""

    plan: LegacyPlan
    layout: LayoutMap
    warnings: tuple[str, ...]

    @property
    def size(self) -> int:
        return self.layout.size


class UserDump:
    """A legacy dump, decided and laid out: every value is known and all memory is read, none is written yet.

    The same snapshot and request always give the same bytes. ``plan`` is written in place of what the request asks
    for: so a mutant writes a wrong one. Raises DumpRefused when the request cannot be met, and LayoutError when a value
    does not fit its field.
    """

    def __init__(
        self,
        snapshot: ProcessSnapshot,
        request: Request,
        *,
        plan: LegacyPlan | None = None,
        faults: Faults | None = None,
    ) -> None:
        self.plan = plan_legacy(snapshot, request) if plan is None else plan
        self._layout = _lay_out(snapshot, self.plan, faults or Faults())
        self.layout = self._layout.freeze()

    def emit(self, sink: Sink, *, in_order: bool = False) -> UserDumpResult:
        """Write it; the signature last, so that what is cut off is not a dump. Raises what the sink raises.

        ``in_order``: without going back, to a sink that takes no patch and sees to it itself that a part is no whole.
        """
        self._layout.emit(sink, last=None if in_order else ("Header", "Signature"))
        return UserDumpResult(self.plan, self.layout, self.plan.warnings)


def user_dump_bytes(
    snapshot: ProcessSnapshot, request: Request, *, plan: LegacyPlan | None = None
) -> tuple[bytes, UserDumpResult]:
    """The dump in memory. Raises as ``UserDump``."""
    sink = BytesSink()
    result = UserDump(snapshot, request, plan=plan).emit(sink)
    return sink.getvalue(), result


def _lay_out(snapshot: ProcessSnapshot, plan: LegacyPlan, faults: Faults) -> Layout:
    """Header and descriptions, then the raw memory; the order of the parts between them is free, the offsets tell."""
    machine = _MACHINES.get(snapshot.system.architecture)
    if machine is None:
        raise DumpRefused(
            Hresult.E_NOTIMPL,
            f"architecture {snapshot.system.architecture}: a legacy dump takes {', '.join(_MACHINES)}",
        )
    bits = 8 * snapshot.system.pointer_size
    form = _FORMATS[bits]
    header, version, event = Section("Header"), Section("VersionInfo"), Section("DebugEvent")
    add_struct(
        version, "VersionInfo", CRASHDUMP_VERSION_INFO, {"IgnoreGuardPages": _IGNORE_GUARD_PAGES, "PointerSize": bits}
    )
    if snapshot.exception is not None:
        _add_event(event, form, snapshot.process.process_id, snapshot.exception)
    threads, contexts = _threads(snapshot, form)
    modules, regions = _modules(snapshot, form), _regions(plan, form)
    data = _data(snapshot, plan, faults)
    add_struct(header, "Header", form.header, {
        "Signature": _SIGNATURE,
        "ValidDump": form.valid_dump,
        "MajorVersion": snapshot.system.major_version,
        "MinorVersion": snapshot.system.minor_version,
        "MachineImageType": machine,
        "ThreadCount": len(snapshot.threads),
        "ModuleCount": len(snapshot.modules),
        "MemoryRegionCount": len(plan.regions),
        "ThreadOffset": contexts.start,
        "ModuleOffset": modules.start,
        "DataOffset": data.start,
        "MemoryRegionOffset": regions.start,
        "DebugEventOffset": event.start if event.size else 0,
        "ThreadStateOffset": threads.start,
        "VersionInfoOffset": version.start,
    }, zero=["Spare1"])  # fmt: skip
    layout = Layout()
    for section in (header, version, threads, contexts, modules, regions, event, data):
        layout.place(section)
    return layout


def _threads(snapshot: ProcessSnapshot, form: _Format) -> tuple[Section, Section]:
    """The CRASH_THREADs and, in the same order, the CONTEXTs."""
    threads, contexts = Section("Threads"), Section("ThreadContexts")
    spares = [f"Spare{index}" for index in range(7)]
    for index, thread in enumerate(snapshot.threads):
        path = f"Threads[{index}]"
        add_struct(threads, path, form.thread, {
            "ThreadId": thread.thread_id,
            "SuspendCount": thread.suspend_count,
            "PriorityClass": thread.priority_class,
            "Priority": thread.priority & 0xFFFFFFFF,  # signed, in a ULONG
            "Teb": thread.teb,
        }, zero=spares)  # fmt: skip
        add_context(contexts, f"{path}.Context", thread.context, snapshot.system.architecture)
    return threads, contexts


def _modules(snapshot: ProcessSnapshot, form: _Format) -> Section:
    """CRASH_MODULE, each followed by its name in ANSI, whose length is exactly ImageNameLength: no NUL."""
    section = Section("Modules")
    for index, module in enumerate(snapshot.modules):
        name = module.name.encode(_ANSI, "replace")
        add_struct(section, f"Modules[{index}]", form.module, {
            "BaseOfImage": module.base,
            "SizeOfImage": module.size,
            "ImageNameLength": len(name),
        })  # fmt: skip
        section.add(f"Modules[{index}].ImageName", "ANSI", name)
    return section


def _regions(plan: LegacyPlan, form: _Format) -> Section:
    section = Section("MemoryRegions")
    for index, region in enumerate(plan.regions):
        add_struct(section, f"MemoryRegions[{index}]", form.region, {
            "BaseAddress": region.base,
            "AllocationBase": region.allocation_base,
            "AllocationProtect": region.allocation_protect,
            "RegionSize": region.size,
            "State": region.state,
            "Protect": region.protect,
            "Type": region.type,
        }, zero=form.padding)  # fmt: skip
    return section


def _add_event(section: Section, form: _Format, process_id: int, event: ExceptionEvent) -> None:
    """The exception as the debugger was told of it. Its context is the thread's own, in the list of contexts."""
    if len(event.information) > MAXIMUM_PARAMETERS:
        raise LayoutError(f"DebugEvent: {len(event.information)} parameters, at most {MAXIMUM_PARAMETERS}")
    record = {
        "ExceptionCode": event.code,
        "ExceptionFlags": event.flags,
        "ExceptionRecord": event.record,
        "ExceptionAddress": event.address,
        "NumberParameters": len(event.information),
        "ExceptionInformation": event.information,
    }
    add_struct(section, "DebugEvent", form.event, {
        "dwDebugEventCode": _EXCEPTION_DEBUG_EVENT,
        "dwProcessId": process_id,
        "dwThreadId": event.thread_id,
        "ExceptionRecord": {**record, "__unusedAlignment": 0} if form.padding else record,
        "dwFirstChance": int(event.first_chance),
    }, zero=form.padding)  # fmt: skip


def _data(snapshot: ProcessSnapshot, plan: LegacyPlan, faults: Faults) -> Section:
    """The regions' bytes in list order, without a copy; long zeros of sparse memory take no room.

    Raises DumpRefused with ERROR_PARTIAL_COPY.
    """
    section = Section("Data")
    reading = Reading(snapshot)
    for index, region in enumerate(plan.regions):
        path, at = f"Data[{index}]", region.base
        for piece in _read(reading, region, faults):
            part = path if at == region.base else f"{path}+{at - region.base:#x}"
            if isinstance(piece, int):
                section.add_zeros(part, "memory", piece)
                at += piece
            else:
                section.add(part, "memory", piece)
                at += len(piece)
    return section


def _read(reading: Reading, region: Region, faults: Faults) -> Iterator[memoryview | int]:
    try:
        faults.reach(FaultPoint.READ_MEMORY)
        pieces = reading.pieces(region.base, region.end)
    except OSError:
        pieces = None
    if pieces is None:
        raise DumpRefused(Hresult.ERROR_PARTIAL_COPY, f"memory {region.base:#x}..{region.end:#x} cannot be read")
    return pieces
