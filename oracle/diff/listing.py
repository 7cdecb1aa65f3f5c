"""Lists the facts of a dump as (subject, name, value), independent of the layout of the file.

A subject is named after its identity in the target (a thread by its id, a module by its base), never by its index in a
list. So two dumps of one target by different writers list the same subjects.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import NamedTuple

from ..decode import Record, enumeration
from ..model import Span
from ..readers.facts import ContextFact, Dump
from ..readers.kernel_dump import KernelDump

_SHOWN = 32
"""Longest value in bytes that is shown; a longer one is shown as its length and the first digits of its SHA-256."""
_LAST_RESERVED = 0xFFFF  # minidumpapiset.h LastReservedStream; higher types belong to the caller


class Fact(NamedTuple):
    subject: str
    name: str
    value: str


def listing(dump: Dump | KernelDump) -> Iterator[Fact]:
    """Every fact of ``dump`` except memory, in the order of the readers. Never raises on content."""
    return _minidump(dump) if isinstance(dump, Dump) else _kernel(dump)


def _minidump(dump: Dump) -> Iterator[Fact]:
    yield from _record("header", dump.header, skip=("NumberOfStreams", "StreamDirectoryRva"))
    streams = enumeration("MINIDUMP_STREAM_TYPE")
    for kind in sorted(dump.streams):
        yield Fact("streams", streams.name_of(kind), "present")
    yield from _record("system", dump.system_info)
    if dump.csd_version is not None:
        yield Fact("system", "CSDVersion", dump.csd_version.text)
    if dump.misc_info is not None:
        yield from _record("misc info", dump.misc_info, upto=dump.misc_info["SizeOfInfo"])
    yield from _record("system memory", dump.system_memory_info)
    yield from _record("process counters", dump.vm_counters)
    yield from _threads(dump)
    yield from _modules(dump)
    if dump.exception is not None:
        yield from _record("exception", dump.exception.record)
        yield from _context("exception", dump.exception.context)
    for handle in dump.handles:
        subject = f"handle {handle.record['Handle']:#x}"
        yield from _record(subject, handle.record)
        for name, text in (("type", handle.type_name), ("object", handle.object_name)):
            if text is not None:
                yield Fact(subject, name, text.text)
    for region in dump.memory_infos:
        yield from _record(f"region {region['BaseAddress']:#x}", region)
    if dump.comment is not None:
        yield Fact("comment", "text", dump.comment.text if dump.comment.text is not None else "does not decode")
    for table in dump.function_tables:
        subject = f"function table {table.record['MinimumAddress']:#x}"
        yield from _record(subject, table.record)
        yield Fact(subject, "entries", _bytes(dump.source.read(table.entries.start, len(table.entries))))
    for token in dump.tokens:
        yield from _record(f"token {token['TokenId']:#x}", token)
    for kind, stream in sorted(dump.streams.items()):
        if kind > _LAST_RESERVED:
            yield Fact("streams", f"{stream.name}, bytes", _bytes(dump.source.read(stream.rva, stream.size)))


def _threads(dump: Dump) -> Iterator[Fact]:
    for thread in dump.threads:
        subject = f"thread {thread.id:#x}"
        yield from _record(subject, thread.record)
        yield from _context(subject, thread.context)
    for info in dump.thread_infos:
        yield from _record(f"thread {info['ThreadId']:#x}, info", info)
    for name in dump.thread_names:
        if name.name is not None:
            yield Fact(f"thread {name.record['ThreadId']:#x}", "name", name.name.text)


def _modules(dump: Dump) -> Iterator[Fact]:
    for module in dump.modules:
        subject = f"module {module.base:#x}"
        yield from _record(subject, module.record)
        if module.name is not None:
            yield Fact(subject, "name", module.name.text)
        if module.code_view is not None:
            yield Fact(subject, "CodeView", _bytes(dump.source.read(module.code_view.start, len(module.code_view))))
    for index, unloaded in enumerate(dump.unloaded_modules):
        subject = f"unloaded module {index}"
        yield from _record(subject, unloaded.record)
        if unloaded.name is not None:
            yield Fact(subject, "name", unloaded.name.text)


def _kernel(dump: KernelDump) -> Iterator[Fact]:
    yield from _record("header", dump.header, skip=("RequiredDumpSpace", "ContextRecord", "PhysicalMemoryBlock"))
    yield from _record("context", dump.context)
    yield from _record("exception", dump.exception)
    yield from _record("debugger data", dump.debugger_data)
    triage = dump.triage
    if triage is not None:
        yield from _record("triage header", triage.header, skip=("SizeOfDump",))
        yield from _record("memory figures", triage.mm)
        for name in ("prcb", "process", "thread"):
            if name in triage.blocks:
                yield Fact("triage blocks", name, _bytes(_span(dump, triage.blocks[name])))
        for record in triage.unloaded:
            yield from _record(f"unloaded driver {record.text('DriverName')}", record)
    for module in dump.modules:
        subject = f"driver {module.base:#x}"
        yield from _record(subject, module.record)
        if triage is not None and (text := triage.strings.get(module.record["DriverNameOffset"])) is not None:
            yield Fact(subject, "name", text.text)
    for blob in dump.blobs:
        yield Fact(f"secondary data {blob.record.raw('Tag').hex()}", "bytes", _bytes(_span(dump, blob.data)))


def _span(dump: KernelDump, span: Span) -> bytes:
    return dump.source.read(span.start, len(span))


def _context(subject: str, context: ContextFact | None) -> Iterator[Fact]:
    if context is not None:
        yield from _record(f"{subject}, context", context.record)


def _record(
    subject: str, record: Record | None, *, skip: Iterable[str] = (), upto: int | None = None
) -> Iterator[Fact]:
    """The fields of a record, without offsets into the file. ``upto``: only fields within that many bytes."""
    if record is None:
        return
    skipped = tuple(skip)
    for field in record.structure.fields.values():
        if _is_place(field.name) or field.name.startswith(skipped) or (upto and field.offset + field.width > upto):
            continue
        yield Fact(subject, field.name, _value(record, field.name))


def _is_place(name: str) -> bool:
    """Whether the field is an RVA, a file offset, the size of the data there, or padding."""
    last = name.rpartition(".")[2]
    return last.startswith(("_", "Rva")) or last.endswith(("Rva", "Offset")) or name.endswith(".DataSize")


def _value(record: Record, name: str) -> str:
    field = record.structure.fields[name]
    if field.kind == "utf16":
        return record.text(name)
    if field.kind == "bytes" or field.count > 1:
        return _bytes(record.raw(name))
    return f"{record[name]:#x}" if field.kind != "i32" else str(record[name])


def _bytes(data: bytes) -> str:
    if len(data) <= _SHOWN:
        return data.hex()
    return f"{len(data)} bytes, SHA-256 {sha256(data).hexdigest()[:16]}"
