"""The facts that a reader should report: those that the oracle reads from a dump that it judged conformant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from ..memory.intervals import Range, joined
from ..memory.page import PAGE_SIZE
from ..memory.source import ByteSource
from ..readers.cab import read_cabinet
from ..readers.facts import ContextFact, Dump
from ..readers.identify import CABINET, KERNEL_DUMP, MINIDUMP, USERDUMP, identify
from ..readers.kernel import read_kernel
from ..readers.kernel_dump import KernelDump
from ..readers.minidump import read_minidump
from ..readers.userdump import read_userdump
from ..readers.userdump_facts import UserDump
from ..truth.load import Truth

_HEADER: Final = {"PfnDatabase": "PfnDataBase"} | {
    name: name
    for name in (
        *("DumpType", "MajorVersion", "MinorVersion", "DirectoryTableBase", "PsLoadedModuleList"),
        *("PsActiveProcessHead", "MachineImageType", "NumberProcessors", "BugCheckCode", "KdDebuggerDataBlock"),
        *("ProductType", "SuiteMask", "SystemTime", "SystemUpTime", "RequiredDumpSpace"),
    )
}
"""Names of ``extra`` in a kernel dump -> fields of the header."""
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


@dataclass(frozen=True, slots=True)
class Memory:
    ranges: list[Range]
    """Sorted ``[start, end)`` that neither overlap nor touch."""
    read: Callable[[int, int], bytes | None]
    """The target's bytes by address and size; None if the dump lacks any of them."""


@dataclass(frozen=True, slots=True)
class Expected:
    """The expected facts. A fact that is None does not exist for this kind of dump and is not compared."""

    architecture: str | None = None
    threads: list[tuple[int | None, ...]] | None = None
    modules: list[tuple[int | str, ...]] | None = None
    exception: tuple[int, int, int] | None = None
    has_exception: bool | None = None
    memory: Memory | None = None
    stream_count: int | None = None
    flags: int | None = None
    dump_kind: tuple[str, ...] | None = None
    """The values of ``DUMP_KINDS`` that are right."""
    extra: dict[str, int | str | None] = field(default_factory=dict)
    """A value None means that the dump lacks the field, so any reported value is wrong."""


def expected_facts(source: ByteSource, truth: Truth | None = None) -> Expected:
    """The expected facts of the dump, or of the dump inside a cabinet. Never raises on content."""
    kind = identify(source).kind
    if kind == CABINET:
        inside = next((member.source for member, _ in read_cabinet(source).dumps()), None)
        return Expected() if inside is None else expected_facts(inside, truth)
    if kind == MINIDUMP:
        return _minidump(read_minidump(source), truth)
    if kind == KERNEL_DUMP:
        return _kernel(read_kernel(source))
    if kind == USERDUMP:
        return _userdump(read_userdump(source))
    return Expected()


def _minidump(dump: Dump, truth: Truth | None) -> Expected:
    exception = None if dump.exception is None else dump.exception.record
    extra: dict[str, int | str | None] = {}
    if truth is not None and truth.mode == "user" and truth.modules:
        extra = {"image_base": truth.modules[0].base, "command_line": truth.process.command_line}
    return Expected(
        architecture=dump.architecture,
        threads=[(thread.id, *_pointers(thread.context), thread.record["Teb"]) for thread in dump.threads],
        modules=[
            (module.base, module.size, "" if module.name is None else module.name.text) for module in dump.modules
        ],
        exception=None
        if exception is None
        else (
            exception["ThreadId"],
            exception["ExceptionRecord.ExceptionCode"],
            exception["ExceptionRecord.ExceptionAddress"],
        ),
        has_exception=exception is not None,
        memory=Memory(dump.captured(), dump.read_memory),
        stream_count=None if dump.header is None else dump.header["NumberOfStreams"],
        flags=dump.flags,
        dump_kind=(MINIDUMP,),
        extra=extra,
    )


def _pointers(context: ContextFact | None) -> tuple[int | None, int | None]:
    return (None, None) if context is None else (context.ip, context.sp)


def _userdump(dump: UserDump) -> Expected:
    return Expected(
        architecture=dump.architecture,
        modules=[(module.base, module.size, module.text.decode("cp1252", "replace")) for module in dump.modules],
        memory=Memory(dump.captured(), dump.read_memory),
        dump_kind=(USERDUMP,),
    )


def _kernel(dump: KernelDump) -> Expected:
    extra: dict[str, int | str | None] = {}
    if dump.header is not None:
        integers = dump.header.structure.integers
        extra = {name: dump.header[theirs] for name, theirs in _HEADER.items() if theirs in integers}
        extra |= {f"BugCheckCodeParameter[{index}]": dump.header[f"BugCheckParameter{index + 1}"] for index in range(4)}
    if dump.exception is not None:
        extra |= {name: dump.exception[name] for name in _EXCEPTION}
    if dump.context is not None:
        names = (name for name in dump.context.structure.integers if name.isidentifier())
        extra |= {name: dump.context[name] for name in names if name not in extra}
    if dump.descriptor is not None and dump.type not in _WITH_OWN_LIST:
        extra["NumberOfPages"] = dump.descriptor["NumberOfPages"]
    elif dump.descriptor is None and dump.triage is not None:  # small dumps of builds before 26100 lack it
        extra["NumberOfPages"] = None
    kind = _KINDS.get(dump.type)
    if not dump.paged:  # a small dump has memory by virtual address, type 3 has no memory
        nothing = Memory([], lambda _address, _size: None)
        return Expected(dump.architecture, memory=nothing, dump_kind=kind, extra=extra)
    runs = [(pfn * PAGE_SIZE, count * PAGE_SIZE, offset) for pfn, count, offset in dump.pages.runs()]
    ranges = list(joined((start, start + size) for start, size, _ in runs))
    extra["MemoryMap"] = " ".join(f"{start:#x}+{end - start:#x}" for start, end in ranges)

    def read(address: int, size: int) -> bytes | None:
        first, last = address // PAGE_SIZE, (address + size - 1) // PAGE_SIZE
        found = list(dump.pages.runs(first, last + 1))
        if sum(count for _, count, _ in found) != last + 1 - first:
            return None
        data = b"".join(dump.source.read(offset, count * PAGE_SIZE) for _, count, offset in found)
        at = address - first * PAGE_SIZE
        return data[at : at + size] if len(data) == (last + 1 - first) * PAGE_SIZE else None

    return Expected(dump.architecture, memory=Memory(ranges, read), dump_kind=kind, extra=extra)
