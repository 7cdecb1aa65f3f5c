"""Reads streams 4, 14 and 13 of a minidump: modules, unloaded modules, dynamic function tables."""

from __future__ import annotations

from ..decode import Record, decode
from ..model import Span
from .container import STREAM, read_counted, read_headed, read_string, settle
from .facts import Dump, FunctionTableFact, ModuleFact, Stream, UnloadedModuleFact


def read_modules(dump: Dump) -> None:
    """Read stream 4 and fill ``dump.modules`` (docs/format/minidump-modules.md#module-list)."""
    stream = dump.streams.get(STREAM["ModuleListStream"])
    if stream is None:
        return
    for record in read_counted(dump, stream, "MINIDUMP_MODULE_LIST", "MINIDUMP_MODULE", "module"):
        name = read_string(dump, record["ModuleNameRva"], "module.name", ("module.names",), f"name of {record.path}")
        code_view = _located(dump, record, "CvRecord", "CodeView record")
        misc = _located(dump, record, "MiscRecord", "debug record")
        dump.modules.append(ModuleFact(record, name, code_view, misc))
    settle(dump, stream.type)


def _located(dump: Dump, record: Record, member: str, label: str) -> Span | None:
    """Claim and return the bytes that a location descriptor of a module names; None if it names none."""
    size, rva = record[f"{member}.DataSize"], record[f"{member}.Rva"]
    if size == 0 or rva == 0:
        return None
    subject = f"{label} of {record.path}"
    if rva + size > dump.source.size:
        dump.defect(
            "module.record",
            subject,
            f"bytes inside the file of {dump.source.size} bytes",
            f"DataSize {size}, Rva {rva:#x}",
            record.span_of(f"{member}.DataSize"),
            record.span_of(f"{member}.Rva"),
            loses=("module.records",),
        )
        return None
    span = Span(rva, rva + size)
    dump.claim(span, subject, shared=True)
    return span


def read_unloaded_modules(dump: Dump) -> None:
    """Read stream 14 and fill ``dump.unloaded_modules`` (docs/format/minidump-modules.md#unloaded-modules)."""
    stream = dump.streams.get(STREAM["UnloadedModuleListStream"])
    if stream is None:
        return
    records = read_headed(
        dump, stream, "MINIDUMP_UNLOADED_MODULE_LIST", ("MINIDUMP_UNLOADED_MODULE",), "unloaded module"
    )
    for record in records:
        rva = record["ModuleNameRva"]
        name = read_string(dump, rva, "unloaded.name", ("unloaded_modules.names",), f"name of {record.path}")
        dump.unloaded_modules.append(UnloadedModuleFact(record, name))
    settle(dump, stream.type)


def read_function_tables(dump: Dump) -> None:
    """Read stream 13. Each table has a descriptor, the system's own descriptor, and entries.

    Source: docs/format/minidump-function-tables.md#function-table-stream.
    """
    stream = dump.streams.get(STREAM["FunctionTableStream"])
    if stream is None:
        return
    head = decode(dump.source, stream.rva, "MINIDUMP_FUNCTION_TABLE_STREAM", stream.name)
    sizes = (head["SizeOfHeader"], head["SizeOfDescriptor"])
    if stream.size < head.structure.size or sizes != (24, 32) or not head["SizeOfFunctionEntry"]:
        dump.defect(
            "function-tables",
            stream.name,
            "SizeOfHeader 24, SizeOfDescriptor 32, SizeOfFunctionEntry not 0",
            f"{sizes[0]}, {sizes[1]}, {head['SizeOfFunctionEntry']}, DataSize {stream.size}",
            stream.span,
            loses=("function_tables",),
        )
        return
    dump.headers[stream.type] = head
    end = _walk_tables(dump, stream, head)
    tail = dump.source.read(end, stream.span.end - end)
    if not {"function_tables"} & (dump.broken.keys() | dump.unread) and any(tail):
        dump.defect(
            "function-tables",
            stream.name,
            "only zeros after the last table",
            f"{len(tail)} bytes",
            Span(end, stream.span.end),
            loses=("function_tables",),
        )
    settle(dump, stream.type)


def _walk_tables(dump: Dump, stream: Stream, head: Record) -> int:
    """Fill ``dump.function_tables``, and return the offset after the last table."""
    at = head.span.end + head["SizeOfAlignPad"]
    native, entry = head["SizeOfNativeDescriptor"], head["SizeOfFunctionEntry"]
    fits = max(0, stream.span.end - at) // (32 + native)
    count = min(head["NumberOfDescriptors"], fits + 1)
    for index in range(dump.grant(count, stream.name, "function_tables")):
        record = decode(dump.source, at, "MINIDUMP_FUNCTION_TABLE_DESCRIPTOR", f"function table {index}")
        start = record.span.end + native
        end = start + record["EntryCount"] * entry
        if end + record["SizeOfAlignPad"] > stream.span.end or not record.complete:
            dump.defect(
                "function-tables",
                record.path,
                f"an end at most {stream.span.end:#x}, where its stream ends",
                f"{end:#x}",
                record.span,
                loses=("function_tables",),
            )
            return stream.span.end
        at = end + record["SizeOfAlignPad"]
        dump.function_tables.append(
            FunctionTableFact(record, Span(record.span.end, start), Span(start, end), Span(end, at))
        )
    return at
