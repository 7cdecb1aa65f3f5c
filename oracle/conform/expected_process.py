"""The expected facts of a minidump and of a USERDUMP file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from ..decode import Record, enumeration
from ..memory.source import ByteSource
from ..model import Span
from ..readers.architectures import ARCHITECTURES, Architecture
from ..readers.facts import ContextFact, Dump, ModuleFact, StringFact
from ..readers.identify import MINIDUMP, USERDUMP
from ..readers.userdump_facts import UserDump
from ..readers.xstate import features_of
from ..truth.load import Truth
from ..truth.stacks import StackFrameTruth
from .expected import Bytes, Expected, Memory
from .registers import registers_of

Item = dict[str, Any]

# Member of a fact -> field of the record that holds it (tables/*.toml).
_THREAD: Final = {
    "thread_id": "ThreadId", "teb": "Teb", "suspend_count": "SuspendCount", "priority_class": "PriorityClass",
    "priority": "Priority", "stack_start": "Stack.StartOfMemoryRange", "stack_size": "Stack.Memory.DataSize",
}  # fmt: skip
_THREAD_INFO: Final = {
    "exit_status": "ExitStatus", "create_time": "CreateTime", "exit_time": "ExitTime", "kernel_time": "KernelTime",
    "user_time": "UserTime", "start_address": "StartAddress", "affinity": "Affinity",
}  # fmt: skip
_USERDUMP_THREAD: Final = {
    name: _THREAD[name] for name in ("thread_id", "teb", "suspend_count", "priority_class", "priority")
}
_MODULE: Final = {
    "base": "BaseOfImage", "size": "SizeOfImage", "time_stamp": "TimeDateStamp", "checksum": "CheckSum",
}  # fmt: skip
_HANDLE: Final = {
    "handle": "Handle", "attributes": "Attributes", "granted_access": "GrantedAccess", "handle_count": "HandleCount",
    "pointer_count": "PointerCount",
}  # fmt: skip
_OPERATION: Final = {
    "handle": "Handle", "process_id": "ProcessId", "thread_id": "ThreadId", "operation": "OperationType",
}  # fmt: skip
_REGION: Final = {
    "base": "BaseAddress", "size": "RegionSize", "state": "State", "protect": "Protect", "type": "Type",
    "allocation_base": "AllocationBase", "allocation_protect": "AllocationProtect",
}  # fmt: skip
_FUNCTION_TABLE: Final = {
    "base": "BaseAddress", "start": "MinimumAddress", "end": "MaximumAddress", "entries": "EntryCount",
}  # fmt: skip
_TOKEN: Final = {"token_id": "TokenId", "handle": "TokenHandle", "size": "TokenSize"}
_SYSTEM: Final = {
    "processors": "NumberOfProcessors", "processor_level": "ProcessorLevel", "processor_revision": "ProcessorRevision",
    "major_version": "MajorVersion", "minor_version": "MinorVersion", "build": "BuildNumber",
    "platform_id": "PlatformId", "product_type": "ProductType", "suite_mask": "SuiteMask",
}  # fmt: skip
_MEMORY: Final = {
    "page_size": "BasicInfo.PageSize", "physical_pages": "BasicInfo.NumberOfPhysicalPages",
    "available_pages": "BasicPerfInfo.AvailablePages", "committed_pages": "BasicPerfInfo.CommittedPages",
    "commit_limit": "BasicPerfInfo.CommitLimit", "peak_commitment": "BasicPerfInfo.PeakCommitment",
}  # fmt: skip
_COUNTERS: Final = {
    "page_faults": "PageFaultCount", "working_set": "WorkingSetSize", "peak_working_set": "PeakWorkingSetSize",
    "pagefile": "PagefileUsage", "peak_pagefile": "PeakPagefileUsage", "private": "PrivateUsage",
}  # fmt: skip
# Flags1 bit that says that the fields are valid (docs/format/minidump-system.md#misc-info) -> member -> field.
_MISC: Final[Mapping[str, Mapping[str, str]]] = {
    "MINIDUMP_MISC1_PROCESS_ID": {"process_id": "ProcessId"},
    "MINIDUMP_MISC1_PROCESS_TIMES": {
        "create_time": "ProcessCreateTime", "user_time": "ProcessUserTime", "kernel_time": "ProcessKernelTime",
    },
    "MINIDUMP_MISC1_PROCESSOR_POWER_INFO": {"max_mhz": "ProcessorMaxMhz", "current_mhz": "ProcessorCurrentMhz"},
    "MINIDUMP_MISC3_PROCESS_INTEGRITY": {"integrity_level": "ProcessIntegrityLevel"},
    "MINIDUMP_MISC3_PROCESS_EXECUTE_FLAGS": {"execute_flags": "ProcessExecuteFlags"},
    "MINIDUMP_MISC3_PROTECTED_PROCESS": {"protected": "ProtectedProcess"},
    "MINIDUMP_MISC3_TIMEZONE": {"time_zone_id": "TimeZoneId", "time_zone_bias": "TimeZone.Bias"},
    "MINIDUMP_MISC5_PROCESS_COOKIE": {"cookie": "ProcessCookie"},
}  # fmt: skip
_MISC_TEXTS: Final = {
    "MINIDUMP_MISC3_TIMEZONE": {"standard_name": "TimeZone.StandardName", "daylight_name": "TimeZone.DaylightName"},
    "MINIDUMP_MISC4_BUILDSTRING": {"build_string": "BuildString"},
}
_EXCEPTION: Final = {"code": "ExceptionCode", "flags": "ExceptionFlags", "address": "ExceptionAddress"}
_VERSION_SIGNATURE: Final = 0xFEEF04BD
"""verrsrc.h VS_FFI_SIGNATURE. Without it a module has no version information."""
_X86_CPU: Final = "Cpu.X86CpuInfo."


def minidump_facts(dump: Dump, truth: Truth | None) -> Expected:
    """The facts of a minidump; ``extra`` and ``stacks`` need the truth."""
    features = {} if dump.misc_info is None else features_of(dump.misc_info)
    facts: Item = {
        "dump_kind": frozenset({MINIDUMP}),
        "memory": Memory(dump.captured(), dump.read_memory),
        "exception": None,
        "exception_context": None,
        "threads": _threads(dump),
        "registers": [
            {"thread_id": thread.id} | registers_of(dump.source, thread.context, features)
            for thread in dump.threads
            if thread.context is not None
        ],
        "modules": [_module(dump.source, module) for module in dump.modules],
        "flags": dump.flags,
        "streams": [
            {
                "type": record["StreamType"],
                "size": record["Location.DataSize"],
                "digest": _bytes(dump.source, record["Location.Rva"], record["Location.DataSize"]),
            }
            for record in dump.directory
            if record["StreamType"]
        ],
    }
    if dump.architecture is not None:
        facts["architecture"] = dump.architecture
    if dump.header is not None:
        facts |= {"stream_count": dump.header["NumberOfStreams"], "time_stamp": dump.header["TimeDateStamp"]}
    if dump.exception is not None:
        record = dump.exception.record
        facts["exception"] = {"thread_id": record["ThreadId"]} | _exception(
            record, "ExceptionRecord.", ARCHITECTURES.get(dump.architecture or "")
        )
        if dump.exception.context is not None:
            facts["exception_context"] = registers_of(dump.source, dump.exception.context, features)
    if dump.comment is not None and dump.comment.text is not None:
        facts["comment"] = dump.comment.text
    for name, build in _LISTS.items():
        facts[name] = build(dump)
    for name, counts, fields in (
        ("system_memory", dump.system_memory_info, _MEMORY),
        ("memory_counters", dump.vm_counters, _COUNTERS),
    ):
        facts[name] = None if counts is None else _fields(counts, fields)
    facts["system"] = _system(dump)
    facts["process"] = None if dump.misc_info is None else _misc(dump.misc_info)
    if truth is not None and truth.mode == "user" and truth.modules:
        facts["extra"] = {"image_base": truth.modules[0].base, "command_line": truth.process.command_line}
    if truth is not None and truth.mode == "user" and truth.stacks:
        facts["stacks"] = [{"thread_id": stack.thread_id} | frames_of(stack.frames) for stack in truth.stacks]
    return Expected(facts)


def frames_of(frames: Sequence[StackFrameTruth]) -> Item:
    """The members of a call stack (docs/truth-format.md#call-stacks)."""
    return {
        "frames": tuple(frame.instruction_pointer for frame in frames),
        "stack_pointers": tuple(frame.stack_pointer for frame in frames),
    }


def userdump_facts(dump: UserDump) -> Expected:
    """The facts of a legacy full user dump."""
    facts: Item = {
        "dump_kind": frozenset({USERDUMP}),
        "memory": Memory(dump.captured(), dump.read_memory),
        "modules": [
            {"base": module.base, "size": module.size, "name": module.text.decode("cp1252", "replace")}
            for module in dump.modules
        ],
        "threads": [
            _fields(record, _USERDUMP_THREAD) | (_pointers(context) if context is not None else {})
            for record, context in _with_contexts(dump)
        ],
        "registers": [
            {"thread_id": record["ThreadId"]} | registers_of(dump.source, context, {})
            for record, context in _with_contexts(dump)
            if context is not None
        ],
        "regions": [_fields(record, _REGION) for record in dump.regions],
    }
    if dump.architecture is not None:
        facts["architecture"] = dump.architecture
    event = dump.debug_event
    if event is not None and event["dwDebugEventCode"] == enumeration("DEBUG_EVENT_CODE")["EXCEPTION_DEBUG_EVENT"]:
        facts["exception"] = {"thread_id": event["dwThreadId"]} | _exception(
            event, "u.Exception.ExceptionRecord.", ARCHITECTURES.get(dump.architecture or "")
        )
    return Expected(facts)


def _with_contexts(dump: UserDump) -> list[tuple[Record, ContextFact | None]]:
    contexts = [*dump.contexts, *[None] * (len(dump.threads) - len(dump.contexts))]
    return list(zip(dump.threads, contexts, strict=False))


def _fields(record: Record, fields: Mapping[str, str]) -> Item:
    """The members of ``fields`` that the record has. A structure of an older version lacks some."""
    return {name: record[field] for name, field in fields.items() if field in record.structure.integers}


def _text(name: StringFact | None) -> str | None:
    return None if name is None else name.text


def _bytes(source: ByteSource, start: int, size: int) -> Bytes:
    return Bytes(source, Span(start, start + size))


def _pointers(context: ContextFact) -> Item:
    return {"instruction_pointer": context.ip, "stack_pointer": context.sp}


def _exception(record: Record, prefix: str, form: Architecture | None) -> Item:
    """The exception record. dbghelp sign-extends the numbers of a 32-bit target: their low half is the value
    (docs/format/minidump-exception.md#sign-extension).
    """
    count = record[prefix + "NumberParameters"]
    mask = (1 << 8 * (8 if form is None else form.pointer_size)) - 1
    return {name: record[prefix + field] & mask for name, field in _EXCEPTION.items()} | {
        "next_record": record[prefix + "ExceptionRecord"] & mask,
        "parameters": tuple(value & mask for value in record.array(prefix + "ExceptionInformation")[:count]),
    }


def _threads(dump: Dump) -> list[Item]:
    infos = {info["ThreadId"]: info for info in dump.thread_infos}
    names = {name.record["ThreadId"]: name.name for name in dump.thread_names}
    items: list[Item] = []
    for thread in dump.threads:
        item = _fields(thread.record, _THREAD)
        if thread.context is not None:
            item |= _pointers(thread.context)
        if (info := infos.get(thread.id)) is not None:
            item |= _fields(info, _THREAD_INFO)
        if thread.id in names:
            item["name"] = _text(names[thread.id])
        items.append(item)
    return items


def _module(source: ByteSource, module: ModuleFact) -> Item:
    item = _fields(module.record, _MODULE) | {"name": _text(module.name) or ""}
    if module.record["VersionInfo.dwSignature"] == _VERSION_SIGNATURE:
        for name in ("File", "Product"):
            words = [module.record[f"VersionInfo.dw{name}Version{half}"] for half in ("MS", "LS")]
            item[f"{name.lower()}_version"] = ".".join(f"{word >> 16}.{word & 0xFFFF}" for word in words)
    if module.code_view is not None:
        item |= _code_view(source.read(module.code_view.start, len(module.code_view)))
    return item


def _code_view(data: bytes) -> Item:
    """A CodeView record (docs/format/minidump-modules.md#codeview-record). Bytes after the name's NUL do not count."""
    signature = data[:4]
    if signature == b"RSDS" and len(data) >= 24:
        item: Item = {
            "codeview": "RSDS", "pdb_guid": str(UUID(bytes_le=data[4:20])), "pdb_age": _u32(data, 20),
        }  # fmt: skip
        name = data[24:]
    elif signature == b"NB10" and len(data) >= 16:
        item = {"codeview": "NB10", "pdb_signature": _u32(data, 8), "pdb_age": _u32(data, 12)}
        name = data[16:]
    else:
        return {}
    try:
        return item | {"pdb_name": name.partition(b"\0")[0].decode("utf-8")}
    except UnicodeDecodeError:  # in the code page of the linker, which is not known
        return item


def _u32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")


def _system(dump: Dump) -> Item | None:
    record = dump.system_info
    if record is None:
        return None
    item = _fields(record, _SYSTEM) | {"service_pack": _text(dump.csd_version)}
    if dump.architecture == "x86":
        vendor = record.raw(_X86_CPU + "VendorId")
        item["cpu_version"] = record[_X86_CPU + "VersionInformation"]
        item["cpu_features"] = tuple(
            record[_X86_CPU + name] for name in ("FeatureInformation", "AMDExtendedCpuFeatures")
        )
        if vendor.isascii() and vendor.rstrip(b"\0").decode().isprintable():
            item["cpu_vendor"] = vendor.rstrip(b"\0").decode()
    elif dump.architecture is not None:
        item["cpu_features"] = record.array("Cpu.OtherCpuInfo.ProcessorFeatures")
    return item


def _misc(record: Record) -> Item:
    """The fields of MiscInfo that Flags1 says are valid, and that SizeOfInfo includes."""
    flags, size, names = record["Flags1"], record["SizeOfInfo"], enumeration("MISC1_FLAGS")
    item: Item = {}

    def there(bit: str, field: str) -> bool:
        place = record.structure.fields[field]
        return bool(flags & names[bit]) and place.offset + place.width <= size

    for bit, fields in _MISC.items():
        item |= {name: record[field] for name, field in fields.items() if there(bit, field)}
    for bit, fields in _MISC_TEXTS.items():
        item |= {name: record.text(field) for name, field in fields.items() if there(bit, field)}
    if record.structure.fields["XStateData.Features"].offset <= size:
        item["xstate_features"] = record["XStateData.EnabledFeatures"]
    return item


def _handles(dump: Dump) -> list[Item]:
    return [
        _fields(handle.record, _HANDLE) | {"type": _text(handle.type_name), "name": _text(handle.object_name)}
        for handle in dump.handles
    ]


def _operations(dump: Dump) -> list[Item]:
    return [
        _fields(record, _OPERATION)
        | {
            "frames": record.array("BackTraceInformation.ReturnAddresses")[: record["BackTraceInformation.Depth"]],
        }
        for record in dump.handle_operations
    ]


def _unloaded(dump: Dump) -> list[Item]:
    return [_fields(module.record, _MODULE) | {"name": _text(module.name) or ""} for module in dump.unloaded_modules]


_LISTS: Final[Mapping[str, Callable[[Dump], list[Item]]]] = {
    "unloaded_modules": _unloaded,
    "handles": _handles,
    "handle_operations": _operations,
    "regions": lambda dump: [_fields(record, _REGION) for record in dump.memory_infos],
    "function_tables": lambda dump: [_fields(table.record, _FUNCTION_TABLE) for table in dump.function_tables],
    "tokens": lambda dump: [_fields(record, _TOKEN) for record in dump.tokens],
}
"""Lists that each come from one stream."""
