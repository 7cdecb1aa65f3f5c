"""Writes the main header of a kernel dump (docs/format/kernel-header.md, docs/format/kernel-header-fields.md)."""

from __future__ import annotations

from typing import Any

from ..plan.kernel import KernelPlan
from ..plan.kernel_constants import (
    COMMENT_SIZE,
    CONTEXT_SIZE,
    DUMP_SIGNATURE,
    DUMP_VALID_DUMP64,
    EXCEPTION_NONCONTINUABLE,
    FILL,
    IMAGE_FILE_MACHINE_AMD64,
    MAXIMUM_HEADER_RUNS,
    STATUS_BREAKPOINT,
    DumpAttribute,
    DumpType,
    TriageField,
)
from ..plan.kernel_small import SmallLayout
from ..plan.kernel_writers import KernelWriter
from ..snapshot.kernel import KernelSnapshot
from ..snapshot.process import Context
from .context_structs import CONTEXT
from .encode import UNSET, add_struct, utf16_array
from .kernel_structs import CONTEXT_FIELD_SIZE, DUMP_HEADER64
from .layout import Label, LayoutError, Section

_FIRST_BUILD_WITH_DIAGNOSTICS = 26100
_DIAGNOSTICS_SIZE = 0x298  # build 26100 stores this value twice
_LAST_LINE = b"Dump completed successfully."
_PAGING_LEVELS = 4
"""The usual number of levels of page tables (docs/format/kernel-header-fields.md#paging-levels)."""
_MXCSR_IN_FXSAVE = 24

_TRIAGE_FIELDS = (  # layout A; layout B adds MMINFO (docs/format/kernel-small.md#minidumpfields)
    TriageField.CONTEXT | TriageField.EXCEPTION | TriageField.PRCB | TriageField.PROCESS | TriageField.THREAD
    | TriageField.STACK | TriageField.DRIVER_LIST | TriageField.BROKEN_DRIVER | TriageField.DEBUGGER_DATA
    | TriageField.DATA_BLOCKS
)  # fmt: skip


def add_header(section: Section, snapshot: KernelSnapshot, plan: KernelPlan, required_space: Label | int) -> None:
    """Append DUMP_HEADER64, 0x2000 bytes. ``required_space`` is the value of RequiredDumpSpace.

    Like the kernel and the engines, the writer fills the header with ``PAGE`` and stores the fields over it
    (docs/format/kernel-header.md#fill). An engine stores no other fields than those it was measured to store. A small
    dump of Windows stores the fields that Windows stores in its layout, and two more:

    - Attributes, since the fill would mean an encrypted live dump (docs/format/kernel-header-fields.md#attributes);
    - Comment, so that it ends with a NUL (docs/format/kernel-header-fields.md#comment).

    Every other dump stores all fields.
    """
    processor = snapshot.processors[snapshot.crashing_processor]
    values: dict[str, Any] = {
        "Signature": DUMP_SIGNATURE,
        "ValidDump": DUMP_VALID_DUMP64,
        "MajorVersion": snapshot.system.major_version,
        "MinorVersion": snapshot.system.build_number,
        "DirectoryTableBase": plan.header.directory_table_base,
        "PfnDataBase": snapshot.symbols.mm_pfn_database if plan.small is None else plan.small.pfn_data_base,
        "PsLoadedModuleList": snapshot.symbols.ps_loaded_module_list,
        "PsActiveProcessHead": snapshot.symbols.ps_active_process_head,
        "MachineImageType": IMAGE_FILE_MACHINE_AMD64,
        "NumberProcessors": len(snapshot.processors),
        "BugCheckCode": plan.header.bug_check_code,
        "BugCheckParameter": snapshot.bug_check.parameters,
        "KdDebuggerDataBlock": snapshot.symbols.kd_debugger_data_block,
        "PhysicalMemoryBlock": _physical_memory(snapshot, plan),
        "ContextRecord": _context(processor.context) if plan.header.context is None else plan.header.context,
        "Exception": _exception(snapshot, plan),
        "DumpType": plan.dump_type,
        "RequiredDumpSpace": required_space,
        "SystemTime": snapshot.time,
        "Comment": plan.comment.ljust(COMMENT_SIZE, b"\0"),
        "SystemUpTime": snapshot.up_time,
        "ProductType": snapshot.system.product_type,
        "SuiteMask": snapshot.system.suite_mask,
        **(_by_engine(plan) if plan.header.writer.is_engine else _by_layout(snapshot, plan)),
    }
    if snapshot.paging_levels != _PAGING_LEVELS:  # every reader takes the fill for 4
        values["PagingLevels"] = snapshot.paging_levels
    names = [name for name, *_ in DUMP_HEADER64._fields_]
    unset = dict.fromkeys(names, UNSET)
    add_struct(section, "Header", DUMP_HEADER64, {**unset, **values}, background=FILL)


def _exception(snapshot: KernelSnapshot, plan: KernelPlan) -> dict[str, Any]:
    """Return the exception record of the bug check.

    Over a kernel connection it is the debugger's event: no flags, and zeros where a file keeps the fill
    (docs/format/kernel-header.md#values-of-the-exception-record, W29507).
    """
    rip = snapshot.processors[snapshot.crashing_processor].context["Rip"]
    code, flags, address = snapshot.exception or (STATUS_BREAKPOINT, EXCEPTION_NONCONTINUABLE, rip)
    return {
        "ExceptionCode": code,
        "ExceptionFlags": 0 if plan.header.live else flags,
        "ExceptionRecord": 0,
        "ExceptionAddress": address,
        "NumberParameters": 0,
        "Padding": 0 if plan.header.live else UNSET,
        "ExceptionInformation": bytes(8 * 15) if plan.header.live else UNSET,
    }


def _by_engine(plan: KernelPlan) -> dict[str, Any]:
    """Return the fields that an engine stores (docs/format/kernel-header.md#fill, W15063 and W29507).

    Attributes and MiniDumpFields keep the fill, and so does a comment behind its NUL.
    """
    comment = plan.comment + b"\0" if plan.comment else b""
    values: dict[str, Any] = {
        "ContextRest": bytes(CONTEXT_FIELD_SIZE - CONTEXT_SIZE),
        "Comment": comment + _fill(DUMP_HEADER64.Comment.offset + len(comment), COMMENT_SIZE - len(comment)),
        "WriterStatus": 0,
        "KdSecondaryVersion": plan.header.kd_secondary_version,
    }
    if plan.header.writer is KernelWriter.E29507:
        values["BootId"] = plan.header.boot_id
    if plan.small is not None:
        values["MiniDumpFields"] = _TRIAGE_FIELDS
    return values


def _fill(offset: int, size: int) -> bytes:
    """Return the fill of the header from an offset on."""
    start = offset % len(FILL)
    return (FILL * (size // len(FILL) + 2))[start : start + size]


def _by_layout(snapshot: KernelSnapshot, plan: KernelPlan) -> dict[str, Any]:
    """Return the fields that differ by layout (docs/format/kernel-small-layouts.md#main-header-in-both-layouts)."""
    build = snapshot.system.build_number
    if plan.small is None:
        return {
            "VersionUser": bytes(32),
            "MiniDumpFields": 0,
            "SecondaryDataState": 0,
            "WriterStatus": 0,
            "KdSecondaryVersion": plan.header.kd_secondary_version,
            "Attributes": 0,
            "BootId": 0,
            "PagingLevels": _PAGING_LEVELS if build >= _FIRST_BUILD_WITH_DIAGNOSTICS else UNSET,
        }
    if plan.small.layout is SmallLayout.A:
        return {
            "ContextRest": bytes(CONTEXT_FIELD_SIZE - CONTEXT_SIZE),
            "MiniDumpFields": _TRIAGE_FIELDS,
            "WriterStatus": 0,
            "KdSecondaryVersion": 0,
            "Attributes": DumpAttribute.KERNEL_GENERATED_TRIAGE_DUMP,
        }
    values: dict[str, Any] = {
        "VersionUser": bytes(32),
        "MiniDumpFields": _TRIAGE_FIELDS | TriageField.MMINFO,
        "SecondaryDataState": 0,
        "Attributes": DumpAttribute.KERNEL_GENERATED_TRIAGE_DUMP,
        "BootId": plan.small.boot_id,
    }
    if build >= _FIRST_BUILD_WITH_DIAGNOSTICS:
        revision = snapshot.system.nt_build_lab.split(".")[1:2]
        values |= {
            "PagingLevels": _PAGING_LEVELS,
            "DiagnosticsSize": (_DIAGNOSTICS_SIZE, _DIAGNOSTICS_SIZE),
            "Diagnostics": bytes(0x190),
            "LastLine": _LAST_LINE.ljust(0x100, b"\0"),
            "BuildNumberText": utf16_array("Header.BuildNumberText", str(build), 6),
            "UpdateBuildRevision": int(revision[0]) if revision and revision[0].isdecimal() else 0,
            "MajorOsVersion": 10,
            "MinorOsVersion": 0,
        }
    return values


def _physical_memory(snapshot: KernelSnapshot, plan: KernelPlan) -> object:
    """Return the runs of a type 1 dump. For other types: the memory map of the machine, or UNSET.

    UNSET if the map does not fit, in layout A, and in the other types of an engine
    (docs/format/kernel-header.md#memory-map-in-the-header).
    """
    if plan.header.physical_memory_block is not None:
        return plan.header.physical_memory_block
    if plan.header.writer.is_engine and plan.dump_type is not DumpType.FULL:
        return UNSET
    if plan.small is not None and plan.small.layout is SmallLayout.A:
        return UNSET
    if plan.dump_type is DumpType.FULL:
        runs = [(planned.start, planned.count) for planned in plan.pages]
    else:
        runs = list(snapshot.physical_runs)
    if len(runs) > MAXIMUM_HEADER_RUNS and plan.dump_type is not DumpType.FULL:
        return UNSET
    return {
        "NumberOfRuns": len(runs),
        "Padding": 0,
        "NumberOfPages": sum(count for _, count in runs),
        "Run": [{"BasePage": base, "PageCount": count} for base, count in runs],
        "Rest": UNSET,
    }


def _context(context: Context) -> dict[str, Any]:
    """Return CONTEXT by its fields. Both copies of MxCsr are equal: kdmp-parser demands it.

    docs/format/kernel-header.md#mxcsr-in-the-context
    """
    if len(context.fxsave) != 512:
        raise LayoutError(f"Header.ContextRecord: FXSAVE image of {len(context.fxsave)} bytes, expected 512")
    registers = context.as_mapping()
    area = bytearray(context.fxsave)
    area[_MXCSR_IN_FXSAVE : _MXCSR_IN_FXSAVE + 4] = registers["MxCsr"].to_bytes(4, "little")
    others = dict.fromkeys((name for name, *_ in CONTEXT._fields_), 0)
    return {**others, **registers, "ContextFlags": context.context_flags, "FltSave": bytes(area)}
