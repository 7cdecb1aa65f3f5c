"""The expected facts of a kernel dump."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from ..decode import Record
from ..memory.intervals import Range, joined
from ..memory.page import PAGE_SIZE
from ..readers.architectures import ARCHITECTURES
from ..readers.facts import ContextFact
from ..readers.kernel_dump import FILL, KernelDump, is_fill
from ..truth.kernel import KernelTruth
from ..truth.load import Truth
from .expected import Bytes, Expected, Memory
from .expected_process import frames_of
from .registers import registers_of

Item = dict[str, Any]

_HEADER: Final = {"PfnDatabase": "PfnDataBase"} | {
    name: name
    for name in (
        *("DumpType", "MajorVersion", "MinorVersion", "DirectoryTableBase", "PsLoadedModuleList"),
        *("PsActiveProcessHead", "MachineImageType", "NumberProcessors", "BugCheckCode", "KdDebuggerDataBlock"),
        *("ProductType", "SuiteMask", "SystemTime", "SystemUpTime", "RequiredDumpSpace"),
    )
}
"""Names of ``extra`` in a kernel dump -> fields of the header."""
_MACHINE: Final = {
    "processors": "NumberProcessors", "major_version": "MajorVersion", "build": "MinorVersion",
    "machine_type": "MachineImageType", "product_type": "ProductType", "suite_mask": "SuiteMask",
    "system_time": "SystemTime", "up_time": "SystemUpTime", "directory_table_base": "DirectoryTableBase",
    "pfn_database": "PfnDataBase", "loaded_module_list": "PsLoadedModuleList",
    "active_process_head": "PsActiveProcessHead", "debugger_data": "KdDebuggerDataBlock",
}  # fmt: skip
"""Members of ``machine`` -> fields of the header."""
_WITH_OWN_LIST: Final = (8, 9, 10)
"""DumpType values with a list of runs and a count of pages outside the header."""
_KINDS: Final = {
    1: ("complete",),
    2: ("kernel",),
    3: ("header",),
    4: ("small",),
    5: ("complete", "active"),
    6: ("kernel", "active"),
    8: ("kernel",),
    9: ("active",),
    10: ("complete",),
}
"""DumpType -> the kinds that a reader may report (docs/format/kernel-kinds.md#type-for-each-kind).

Types 5 and 6 may also be active dumps: it is unknown which of the two Windows writes."""
_EXCEPTION: Final = ("ExceptionCode", "ExceptionFlags", "ExceptionAddress", "NumberParameters")


def machine_facts(dump: KernelDump, truth: Truth | None) -> Expected:
    """The facts of a kernel dump; processors, processes and the unloaded drivers of a paged dump need the truth."""
    facts: Item = {"memory": _physical(dump), "extra": _extra(dump)}
    if dump.architecture is not None:
        facts["architecture"] = dump.architecture
    if dump.type in _KINDS:
        facts["dump_kind"] = frozenset(_KINDS[dump.type])
    if (header := dump.header) is not None:
        facts["bug_check"] = {
            "code": header["BugCheckCode"],
            "parameters": tuple(header[f"BugCheckParameter{number}"] for number in range(1, 5)),
        }
        facts["machine"] = _machine(dump, header)
        comment = header.raw("Comment").partition(b"\0")[0]
        if comment.isascii() and not comment.startswith(FILL):
            facts["comment"] = comment.decode()
    if (exception := dump.exception) is not None:
        count = exception["NumberParameters"]
        facts["exception"] = {
            "code": exception["ExceptionCode"],
            "flags": exception["ExceptionFlags"],
            "address": exception["ExceptionAddress"],
            "next_record": exception["ExceptionRecord"],
            "parameters": exception.array("ExceptionInformation")[:count],
        }
    if dump.context is not None and dump.architecture is not None:
        names = ARCHITECTURES[dump.architecture]
        context = ContextFact(dump.context, dump.context.span, dump.context[names.ip], dump.context[names.sp])
        facts["context"] = registers_of(dump.source, context, {})
    facts["drivers"] = [_driver(dump, module.record) for module in dump.modules]
    facts["secondary_data"] = [
        {
            "tag": str(UUID(bytes_le=blob.record.raw("Tag"))),
            "size": len(blob.data),
            "digest": Bytes(dump.source, blob.data),
        }
        for blob in dump.blobs
    ]
    facts |= _pages(dump) if dump.paged else {}
    if dump.triage is not None:
        target = truth if truth is not None and truth.mode == "kernel" else None
        facts["virtual_memory"] = Memory(dump.captured(), dump.read, None if target is None else target.read)
        facts["unloaded_drivers"] = [_unloaded(entry) for entry in dump.triage.unloaded]
    if truth is not None and truth.mode == "kernel" and dump.paged:
        facts |= _from_truth(truth)
        if stacks := _stacks(truth):
            facts["processor_stacks"] = stacks
    return Expected(facts)


def _machine(dump: KernelDump, header: Record) -> Item:
    item: Item = {name: header[field] for name, field in _MACHINE.items() if not is_fill(header, field)}
    if dump.debugger_data is not None and dump.debugger_data["KernBase"]:
        item["kernel_base"] = dump.address(dump.debugger_data["KernBase"])
    return item


def _driver(dump: KernelDump, record: Record) -> Item:
    return {
        "base": record["DllBase"],
        "size": record["SizeOfImage"],
        "entry_point": record["EntryPoint"],
        "checksum": record["CheckSum"],
        "time_stamp": record["TimeDateStamp"],
        "name": _driver_name(dump, record),
    }


def _driver_name(dump: KernelDump, record: Record) -> str | None:
    if dump.triage is not None:
        string = dump.triage.strings.get(record["DriverNameOffset"])
        return None if string is None else string.text
    length = record["BaseDllName.Length"]
    data = dump.read(record["BaseDllName.Buffer"], length) if length else b""
    return None if data is None else data.decode("utf-16-le", "replace")


def _unloaded(entry: Record) -> Item:
    name = entry.raw("DriverName")[: entry["Name.Length"]].decode("utf-16-le", "replace")
    return {"start": entry["StartAddress"], "end": entry["EndAddress"], "name": name}


def _from_truth(truth: KernelTruth) -> Item:
    """What a reader finds in the memory of a paged dump. The truth is its source, so that no list is walked here."""
    return {
        "processors": [
            {
                "number": processor.number,
                "general": {
                    name.lower(): value
                    for name, value in processor.context.registers.items()
                    if not name.startswith("Dr") and name != "MxCsr"
                },
                "special": {name.lower(): value for name, value in processor.special_registers.items()},
            }
            for processor in truth.processors
        ],
        "unloaded_drivers": [
            {"start": driver.start, "end": driver.end, "name": driver.name} for driver in truth.unloaded_drivers
        ],
        "processes": [
            {
                "process": process.process,
                "process_id": process.process_id,
                "name": process.image_file_name,
                "directory_table_base": process.directory_table_base,
            }
            for process in truth.processes
        ],
    }


def _stacks(truth: KernelTruth) -> list[Item]:
    """The call stacks of the processors; empty if they were not recorded."""
    stacks = truth.stacks or ()
    return [{"number": stack.processor} | frames_of(stack.frames) for stack in stacks if stack.processor is not None]


def _extra(dump: KernelDump) -> dict[str, int | str | None]:
    extra: dict[str, int | str | None] = {}
    if dump.header is not None:
        integers = dump.header.structure.integers
        extra = {name: dump.header[theirs] for name, theirs in _HEADER.items() if theirs in integers}
        extra |= {f"BugCheckCodeParameter[{index}]": dump.header[f"BugCheckParameter{index + 1}"] for index in range(4)}
    if dump.exception is not None:
        extra |= {name: dump.exception[name] for name in _EXCEPTION}
    if dump.context is not None:
        fields = dump.context.structure.fields.values()
        names = [field.name for field in fields if field.name.isidentifier() and field.width <= 8]
        extra |= {name: dump.context[name] for name in names if name not in extra}
    if dump.descriptor is not None and dump.type not in _WITH_OWN_LIST:
        extra["NumberOfPages"] = dump.descriptor["NumberOfPages"]
    elif dump.descriptor is None and dump.triage is not None:  # small dumps of builds before 26100 lack it
        extra["NumberOfPages"] = None
    if dump.paged:
        extra["MemoryMap"] = " ".join(f"{start:#x}+{end - start:#x}" for start, end in _ranges(dump))
    return extra


def _ranges(dump: KernelDump) -> list[Range]:
    return list(joined((pfn * PAGE_SIZE, (pfn + count) * PAGE_SIZE) for pfn, count, _ in dump.pages.runs()))


def _pages(dump: KernelDump) -> Item:
    ranges = _ranges(dump)
    return {
        "page_count": sum(end - start for start, end in ranges) // PAGE_SIZE,
        "page_runs": [{"start": start, "size": end - start} for start, end in ranges],
    }


def _physical(dump: KernelDump) -> Memory:
    if not dump.paged:  # a small dump has memory by virtual address, type 3 has no memory
        return Memory([], lambda _address, _size: None)

    def read(address: int, size: int) -> bytes | None:
        first, last = address // PAGE_SIZE, (address + size - 1) // PAGE_SIZE
        found = list(dump.pages.runs(first, last + 1))
        if sum(count for _, count, _ in found) != last + 1 - first:
            return None
        data = b"".join(dump.source.read(offset, count * PAGE_SIZE) for _, count, offset in found)
        at = address - first * PAGE_SIZE
        return data[at : at + size] if len(data) == (last + 1 - first) * PAGE_SIZE else None

    return Memory(_ranges(dump), read)
