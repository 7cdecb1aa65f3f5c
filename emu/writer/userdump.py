"""Writes the legacy full user dump, 'USERDUMP' and 'USERDU64' (docs/format/user-dump.md).

Names and fields of the structures are those of the header that Microsoft Research published with the Singularity kit.
DEBUG_EVENT is from minwinbase.h, MEMORY_BASIC_INFORMATION from winnt.h. Each exists for two pointer sizes.
"""

from __future__ import annotations

from ctypes import c_uint32, c_uint64
from dataclasses import replace
from typing import Any

from ..constants import Hresult
from ..plan.legacy import LegacyPlan, plan_legacy
from ..plan.reading import Reading
from ..request import DumpRefused, Request
from ..snapshot.process import ExceptionEvent, ProcessSnapshot
from .contexts import add_context
from .dump import Dump, WriteResult
from .encode import add_struct, utf16
from .faults import Faults
from .layout import Layout, LayoutError, Section
from .memory_streams import add_range, region_fields
from .structs import Packed
from .thread_streams import MAXIMUM_PARAMETERS

_SIGNATURE = int.from_bytes(b"USER", "little")
_EXCEPTION_DEBUG_EVENT = 1  # minwinbase.h
_BREAKPOINT = 0x80000003  # ntstatus.h STATUS_BREAKPOINT
_CONTEXT_FLAGS = {"amd64": 0x10005F}
"""ContextFlags of the engine's files, by architecture; others were not measured.

docs/format/user-dump.md#thread-contexts
"""
_ANSI = "cp1252"
_MACHINES = {"x86": 0x14C, "amd64": 0x8664, "arm64": 0xAA64}  # winnt.h IMAGE_FILE_MACHINE_*


def _struct(name: str, fields: list[tuple[str, Any]]) -> type[Packed]:
    return type(name, (Packed,), {"_fields_": fields})


class _Format:
    """The structures for pointers of ``bits`` bits."""

    def __init__(self, bits: int) -> None:
        pointer, wide = (c_uint64, True) if bits == 64 else (c_uint32, False)

        def pad(name: str) -> list[tuple[str, Any]]:  # aligns the next pointer after an odd number of ULONGs
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
            ("ExceptionRecord", record),  # of EXCEPTION_DEBUG_INFO, the longest member of the union
            ("dwFirstChance", c_uint32),
            *pad("__alignment2"),
        ])  # fmt: skip


_FORMATS = {bits: _Format(bits) for bits in (32, 64)}


class UserDump(Dump[ProcessSnapshot, LegacyPlan]):
    """A legacy full user dump."""

    def _decide(self, snapshot: ProcessSnapshot, request: Request) -> LegacyPlan:
        return plan_legacy(snapshot, request)

    def _lay_out(self, snapshot: ProcessSnapshot, plan: LegacyPlan, faults: Faults) -> Layout:
        return _lay_out(snapshot, plan, faults)


def user_dump_bytes(
    snapshot: ProcessSnapshot, request: Request, *, plan: LegacyPlan | None = None
) -> tuple[bytes, WriteResult[LegacyPlan]]:
    """Return a legacy full user dump and its result. Raises as ``UserDump``."""
    return UserDump(snapshot, request, plan=plan).in_memory()


def _lay_out(snapshot: ProcessSnapshot, plan: LegacyPlan, faults: Faults) -> Layout:
    """Return all parts in the order of the engine (docs/format/user-dump.md#order-of-the-file).

    The event comes first, so that the regions start at a multiple of 16, as the engine's reader needs.
    """
    machine = _MACHINES.get(snapshot.system.architecture)
    if machine is None:
        raise DumpRefused(
            Hresult.E_NOTIMPL,
            f"architecture {snapshot.system.architecture}: a legacy dump needs one of {', '.join(_MACHINES)}",
        )
    bits = 8 * snapshot.system.pointer_size
    form = _FORMATS[bits]
    header, event = Section("Header"), Section("DebugEvent")
    _add_event(event, form, snapshot.process.process_id, _event_of(snapshot))
    version = _version_information(snapshot)
    threads, contexts = _threads(snapshot, form)
    modules, regions = _modules(snapshot, form), _regions(plan, form)
    data = _data(snapshot, plan, faults)
    add_struct(header, "Header", form.header, {
        "Signature": _SIGNATURE,
        "ValidDump": form.valid_dump,
        "MajorVersion": snapshot.system.major_version,
        "MinorVersion": snapshot.system.minor_version | snapshot.system.build_number << 16,
        "MachineImageType": machine,
        "ThreadCount": len(snapshot.threads),
        "ModuleCount": len(snapshot.modules),
        "MemoryRegionCount": len(plan.regions),
        "ThreadOffset": contexts.start,
        "ModuleOffset": modules.start,
        "DataOffset": data.start,
        "MemoryRegionOffset": regions.start,
        "DebugEventOffset": event.start,
        "ThreadStateOffset": threads.start,
        "VersionInfoOffset": version.start,
    }, zero=["Spare1"])  # fmt: skip
    layout = Layout()
    for section in (header, event, regions, contexts, threads, modules, data, version):
        layout.place(section)
    return layout


def _event_of(snapshot: ProcessSnapshot) -> ExceptionEvent:
    """Return the exception; without one a breakpoint at the current instruction.

    docs/format/user-dump.md#debug-event
    """
    if snapshot.exception is not None:
        return snapshot.exception
    if not snapshot.threads:
        raise LayoutError("DebugEvent: the process has neither an exception nor a thread")
    thread = snapshot.threads[0]
    address = thread.context.instruction_pointer
    return ExceptionEvent(thread.thread_id, _BREAKPOINT, 0, 0, address, (), thread.context, True)


def _version_information(snapshot: ProcessSnapshot) -> Section:
    """Return the strings at the end, by name and value (docs/format/user-dump.md#version-information)."""
    section = Section("VersionInfo")
    strings = ("CRASH: OS SP", snapshot.system.csd_version or "none", "CRASH: Hotfixes", "none", "")
    for index, text in enumerate(strings):
        section.add(f"VersionInfo[{index}]", "UTF-16", utf16(text + "\0"))
    return section


def _threads(snapshot: ProcessSnapshot, form: _Format) -> tuple[Section, Section]:
    """Return the CRASH_THREAD records and, in the same order, the CONTEXT records."""
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
        architecture = snapshot.system.architecture
        flags = _CONTEXT_FLAGS.get(architecture, thread.context.context_flags)
        add_context(contexts, f"{path}.Context", replace(thread.context, context_flags=flags), architecture)
    return threads, contexts


def _modules(snapshot: ProcessSnapshot, form: _Format) -> Section:
    """Return the CRASH_MODULE records, each followed by its ANSI name. ImageNameLength counts the name's NUL."""
    section = Section("Modules")
    for index, module in enumerate(snapshot.modules):
        name = module.name.encode(_ANSI, "replace") + b"\0"
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
        path = f"MemoryRegions[{index}]"
        add_struct(section, path, form.region, region_fields(region), zero=form.padding)
    return section


def _add_event(section: Section, form: _Format, process_id: int, event: ExceptionEvent) -> None:
    """Append the DEBUG_EVENT of the exception. Its context is that of the thread, in the list of contexts."""
    if len(event.information) > MAXIMUM_PARAMETERS:
        raise LayoutError(f"DebugEvent: {len(event.information)} parameters, expected at most {MAXIMUM_PARAMETERS}")
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
    """Return the bytes of all regions in list order. Raises DumpRefused with ERROR_PARTIAL_COPY."""
    section = Section("Data")
    reading = Reading(snapshot)
    for index, region in enumerate(plan.regions):
        add_range(section, f"Data[{index}]", reading, (region.base, region.end), faults)
    return section
