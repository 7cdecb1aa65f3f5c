"""``read``: turns a dump into plain values with readable names.

It is for people who use dumps. The rules use the readers themselves, whose facts carry the bytes they came from.
"""

# ruff: noqa: PLC0415 - each reader is imported for a file of its kind

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Final

from .budget import MAX_EXPANSION, Work
from .contents import (
    BugCheck,
    Contents,
    ExceptionRecord,
    Memory,
    Module,
    NotADumpError,
    OpenedDump,
    PhysicalPages,
    Registers,
    Stream,
    Thread,
)
from .decode import Record
from .inputs import DumpInput, open_source
from .memory.intervals import holding
from .memory.page import PAGE_SIZE
from .memory.source import ByteSource
from .model import Span
from .readers.facts import ContextFact, Dump, StringFact, ThreadFact
from .readers.identify import CABINET, KERNEL_DUMP, MINIDUMP, USERDUMP, identify
from .readers.kernel_dump import KernelDump, ModuleEntry, fill
from .readers.userdump_facts import UserDump

_EXCEPTION_DEBUG_EVENT: Final = 1  # minwinbase.h
_RSDS: Final = b"RSDS"
_MAX_PDB_PATH: Final = 4096
"""Bytes of a PDB path that are read. Linkers write shorter ones; a hostile dump names the whole file in each module."""


def read(dump: DumpInput, *, max_expansion: int = MAX_EXPANSION) -> Contents:
    """Read a dump: a path, its bytes, or an open ByteSource. In a cabinet, the first dump inside is read.
    A cabinet is expanded to at most ``max_expansion`` bytes.

    Damaged parts are left out: a list that cannot be read is empty. ``check`` says what is wrong with a file. Raises
    NotADumpError for a file that is no dump, OSError for one that cannot be opened.
    """
    with ExitStack() as resources:
        source = open_source(dump)
        if source is not dump:
            resources.callback(source.close)
        contents = _contents(source, max_expansion)
        contents._opened.own(resources.pop_all())
        return contents


def _contents(source: ByteSource, max_expansion: int) -> Contents:
    identity = identify(source)
    inner, kind, found = source, identity.kind, identity.description
    if kind == CABINET:
        from .readers.cab import read_cabinet

        found = "a cabinet without a dump that can be read"
        member, kind = next(iter(read_cabinet(source, max_expansion).dumps()), (None, kind))
        if member is not None and member.source is not None:
            inner = member.source
    if kind == MINIDUMP:
        from .readers.minidump import read_minidump

        return contents_of(read_minidump(inner))
    if kind == USERDUMP:
        from .readers.userdump import read_userdump

        return contents_of(read_userdump(inner))
    if kind == KERNEL_DUMP:
        from .readers.kernel import read_kernel

        return contents_of(read_kernel(inner))
    raise NotADumpError(f"{source.name or 'the bytes'}: expected a crash dump, found {found}")


def contents_of(dump: Dump | UserDump | KernelDump) -> Contents:
    """The contents of a dump that a reader has read. They do not own the file."""
    if isinstance(dump, Dump):
        return _minidump(dump)
    return _userdump(dump) if isinstance(dump, UserDump) else _kernel(dump)


def _minidump(dump: Dump) -> Contents:
    opened = OpenedDump(dump)
    names = {item.record["ThreadId"]: _text(item.name) for item in dump.thread_names}
    exception = None
    if dump.exception is not None:
        exception = _exception(dump.exception.record, "ExceptionRecord.", dump.exception.record["ThreadId"])
    return Contents(
        kind=MINIDUMP,
        architecture=dump.architecture,
        threads=tuple(
            Thread(
                id=item.id,
                name=names.get(item.id),
                registers=_registers(item.context),
                instruction_pointer=None if item.context is None else item.context.ip,
                stack_pointer=None if item.context is None else item.context.sp,
                teb=item.record["Teb"],
                stack=(item.stack_start, item.stack_end if _holds_stack(dump, item) else item.stack_start),
            )
            for item in dump.threads
        ),
        modules=tuple(
            Module(
                path=_text(item.name) or "",
                base=item.base,
                size=item.size,
                time_date_stamp=item.record["TimeDateStamp"],
                checksum=item.record["CheckSum"],
                pdb=_pdb(dump, item.code_view),
            )
            for item in dump.modules
        ),
        memory=Memory(tuple(dump.captured()), opened),
        registers=_registers(None if dump.exception is None else dump.exception.context),
        exception=exception,
        bug_check=None,
        pages=None,
        streams=tuple(
            Stream(item.type, item.name.partition("(")[2].rstrip(")") or item.name, item.rva, item.size)
            for item in dump.streams.values()
        ),
        comment=None if dump.comment is None else dump.comment.text,
        _opened=opened,
    )


def _holds_stack(dump: Dump, thread: ThreadFact) -> bool:
    return thread.stack_size <= dump.source.size and dump.covered(thread.stack_start, thread.stack_end)


def _userdump(dump: UserDump) -> Contents:
    opened = OpenedDump(dump)
    event, exception = dump.debug_event, None
    if event is not None and event["dwDebugEventCode"] == _EXCEPTION_DEBUG_EVENT:
        exception = _exception(event, "u.Exception.ExceptionRecord.", event["dwThreadId"])
    threads = []
    for index, record in enumerate(dump.threads):
        context = dump.contexts[index] if index < len(dump.contexts) else None
        pointer = None if context is None else context.sp
        threads.append(
            Thread(
                id=record["ThreadId"],
                name=None,
                registers=_registers(context),
                instruction_pointer=None if context is None else context.ip,
                stack_pointer=pointer,
                teb=record["Teb"],
                stack=_region_from(dump, pointer),
            )
        )
    return Contents(
        kind=USERDUMP,
        architecture=dump.architecture,
        threads=tuple(threads),
        modules=tuple(
            Module(item.text.decode("cp1252", "replace"), item.base, item.size, None, None, None)
            for item in dump.modules
        ),
        memory=Memory(tuple(dump.captured()), opened),
        registers=next((item.registers for item in threads if exception and item.id == exception.thread_id), {}),
        exception=exception,
        bug_check=None,
        pages=None,
        streams=(),
        comment=None,
        _opened=opened,
    )


def _region_from(dump: UserDump, pointer: int | None) -> tuple[int, int]:
    """From the stack pointer to the end of the captured memory around it; empty at the pointer without memory there."""
    at = pointer or 0
    found = holding(dump.captured(), at)
    return at, at if found is None else found[1]


def _kernel(dump: KernelDump) -> Contents:
    opened = OpenedDump(dump)
    header = dump.header
    bug_check = None
    if header is not None:
        first, second, third, fourth = (header[f"BugCheckParameter{number}"] for number in range(1, 5))
        bug_check = BugCheck(header["BugCheckCode"], (first, second, third, fourth))
    exception = None if dump.exception is None else _exception(dump.exception, "", None)
    return Contents(
        kind=KERNEL_DUMP,
        architecture=dump.architecture,
        threads=(),
        modules=tuple(
            Module(
                path=_driver_path(dump, item),
                base=item.base,
                size=item.size,
                time_date_stamp=item.record["TimeDateStamp"],
                checksum=item.record["CheckSum"],
                pdb=None,
            )
            for item in dump.modules
        ),
        memory=Memory(() if dump.paged else tuple(dump.captured()), opened),
        registers={} if dump.context is None else Registers(dump.context),
        exception=exception,
        bug_check=bug_check,
        pages=PhysicalPages(opened) if dump.paged else None,
        streams=(),
        comment=None if header is None else _header_comment(header),
        _opened=opened,
    )


def _header_comment(header: Record) -> str | None:
    """The text of DUMP_HEADER.Comment; None if the writer left it empty or filled it (``PAGE`` over and over)."""
    raw = header.raw("Comment").split(b"\0")[0]
    return (
        None if not raw or raw == fill(header.span_of("Comment").start, len(raw)) else raw.decode("cp1252", "replace")
    )


def _driver_path(dump: KernelDump, module: ModuleEntry) -> str:
    if dump.triage is not None:
        string = dump.triage.strings.get(module.record["DriverNameOffset"])
        return "" if string is None else string.text
    size = module.record["FullDllName.Length"]
    data = dump.read(dump.address(module.record["FullDllName.Buffer"]), size) if size < PAGE_SIZE else None
    return "" if data is None else data.decode("utf-16-le", "replace")


def _exception(record: Record, prefix: str, thread: int | None) -> ExceptionRecord:
    count = min(record[f"{prefix}NumberParameters"], 15)  # EXCEPTION_MAXIMUM_PARAMETERS, winnt.h
    raw = record.raw(f"{prefix}ExceptionInformation")
    width = len(raw) // 15
    parameters = (int.from_bytes(raw[width * index : width * (index + 1)], "little") for index in range(count))
    return ExceptionRecord(
        record[f"{prefix}ExceptionCode"], record[f"{prefix}ExceptionAddress"], tuple(parameters), thread
    )


def _registers(context: ContextFact | None) -> Mapping[str, int]:
    return {} if context is None else Registers(context.record)


def _text(string: StringFact | None) -> str | None:
    return None if string is None else string.text


def _pdb(dump: Dump, span: Span | None) -> str | None:
    """The path of an RSDS record: signature, GUID and age, 24 bytes, then the path with its NUL."""
    if span is None or dump.source.read(span.start, len(_RSDS)) != _RSDS:
        return None
    wanted = max(min(len(span) - 24, _MAX_PDB_PATH), 0)
    path = dump.source.read(span.start + 24, dump.grant(wanted, "CodeView records", work=Work.BYTES))
    return path.partition(b"\0")[0].decode("utf-8", "replace")
