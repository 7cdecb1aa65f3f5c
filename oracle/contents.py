"""Reads a dump into plain values with readable names: threads, modules, memory.

``read`` is for people who use dumps. The rules use the readers themselves, whose facts carry the bytes they came from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from pathlib import PureWindowsPath
from types import TracebackType
from typing import Final, Generic, TypeVar

from .decode import Record, structure
from .inputs import DumpInput, open_source
from .memory.intervals import holding
from .memory.page import PAGE_SIZE
from .memory.source import ByteSource
from .model import Span
from .readers.cab import read_cabinet
from .readers.facts import ContextFact, Dump, StringFact, ThreadFact
from .readers.identify import CABINET, KERNEL_DUMP, MINIDUMP, USERDUMP, identify
from .readers.kernel import read_kernel
from .readers.kernel_dump import KernelDump, ModuleEntry, fill
from .readers.minidump import read_minidump
from .readers.userdump import read_userdump
from .readers.userdump_facts import UserDump

_NOT_REGISTERS: Final = frozenset(
    {"contextflags", "p1home", "p2home", "p3home", "p4home", "p5home", "p6home", "fltsave", "floatsave", "v", "d"}
    | {"vectorregister", "vectorcontrol", "extendedregisters", "padding", "padding2", "bcr", "bvr", "wcr", "wvr"}
    | {"debugcontrol", "lastbranchtorip", "lastbranchfromrip", "lastexceptiontorip", "lastexceptionfromrip", "extra"}
)
"""Fields of CONTEXT that hold no integer register, in lower case."""
_EXCEPTION_DEBUG_EVENT: Final = 1  # minwinbase.h
_RSDS: Final = b"RSDS"
_MAX_PDB_PATH: Final = 4096
"""Bytes of a PDB path that are read. Linkers write shorter ones; a hostile dump names the whole file in each module."""

_Facts_co = TypeVar("_Facts_co", covariant=True)


class NotADumpError(ValueError):
    """The file is no dump, or a cabinet without one; the message is one line."""


class _Opened(Generic[_Facts_co]):
    """The reader's facts of an open dump, and what must be closed with them."""

    __slots__ = ("_facts", "_resources")

    def __init__(self, facts: _Facts_co) -> None:
        self._facts: _Facts_co | None = facts
        self._resources = ExitStack()

    @property
    def facts(self) -> _Facts_co:
        """Raises ValueError once the dump is closed."""
        if self._facts is None:
            raise ValueError("the dump is closed, so its memory cannot be read")
        return self._facts

    def own(self, resources: ExitStack) -> None:
        """Close ``resources`` with the dump."""
        self._resources = resources

    def close(self) -> None:
        """Drop the facts, then close the file. Records hold views of it, and a file with views stays mapped."""
        self._facts = None
        self._resources.close()


class _Registers(Mapping[str, int]):
    """Registers by name. They are decoded when they are read: a hostile dump has 500,000 threads."""

    __slots__ = ("_data", "_places")

    def __init__(self, context: Record) -> None:
        self._places, size = _register_places(context.structure.name)
        self._data = context.data()[:size]

    def __getitem__(self, name: str) -> int:
        start, end = self._places[name]
        return int.from_bytes(self._data[start:end], "little")

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __repr__(self) -> str:
        return repr(dict(self))


@cache
def _register_places(context: str) -> tuple[dict[str, tuple[int, int]], int]:
    """Where the registers of a CONTEXT structure are, by lower-case name; and the end of the last one."""
    fields = structure(context).integers.items()
    places = {name.lower(): (start, end) for name, (start, end, _) in fields if "." not in name}
    places = {name: place for name, place in places.items() if name not in _NOT_REGISTERS}
    return places, max(end for _, end in places.values())


@dataclass(frozen=True, slots=True)
class Thread:
    """A thread of a user-mode dump."""

    id: int
    name: str | None
    """The description set by SetThreadDescription; None if the dump records none."""
    registers: Mapping[str, int] = field(hash=False)
    """General registers by lower-case name: ``rip``, ``eax``, ``x0``, ``segcs``. Empty if the dump holds no context."""
    instruction_pointer: int | None
    stack_pointer: int | None
    teb: int
    stack: tuple[int, int]
    """The captured part as addresses ``[start, end)``; ``dump.memory.read`` gives its bytes. Empty if it is damaged."""


@dataclass(frozen=True, slots=True)
class Module:
    """A loaded image: an executable, a DLL, the kernel or a driver."""

    path: str
    """As recorded; may be a base name only."""
    base: int
    size: int
    time_date_stamp: int | None
    """Seconds since 1970, or a hash of a reproducible build; None if the dump does not record it."""
    checksum: int | None
    pdb: str | None
    """The path in the RSDS record; None without one."""

    @property
    def name(self) -> str:
        """The last component of the path."""
        return PureWindowsPath(self.path).name

    def __contains__(self, address: int) -> bool:
        return self.base <= address < self.base + self.size


@dataclass(frozen=True, slots=True)
class ExceptionRecord:
    """EXCEPTION_RECORD of the last event."""

    code: int
    address: int
    parameters: tuple[int, ...]
    thread_id: int | None
    """None in a kernel dump."""


@dataclass(frozen=True, slots=True)
class BugCheck:
    """The stop code of a kernel dump and its four parameters."""

    code: int
    parameters: tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Stream:
    """An entry of a minidump's directory."""

    type: int
    name: str
    offset: int
    """File offset."""
    size: int
    """Bytes."""


@dataclass(frozen=True, eq=False)
class Memory:
    """The target's virtual memory, as far as the dump holds it."""

    ranges: tuple[tuple[int, int], ...]
    """Sorted ``[start, end)`` addresses that neither overlap nor touch. Empty for a kernel dump with physical pages,
    whose virtual memory is reached through its page tables."""
    _opened: _Opened[Dump | UserDump | KernelDump] = field(repr=False)

    def read(self, address: int, size: int) -> bytes | None:
        """``size`` bytes at a virtual address; None unless the dump holds all of them, or for a size of 0 or less.

        A kernel dump with physical pages gives at most 16 MiB at once. Raises ValueError once the dump is closed.
        """
        dump = self._opened.facts
        return dump.read(address, size) if isinstance(dump, KernelDump) else dump.read_memory(address, size)


@dataclass(frozen=True, eq=False)
class PhysicalPages:
    """The physical pages whose bytes are in a kernel dump, 4096 bytes each.

    A damaged dump can name more. The methods raise ValueError once the dump is closed.
    """

    _opened: _Opened[KernelDump] = field(repr=False)

    @property
    def count(self) -> int:
        """How many pages there are: the sum of ``runs``."""
        return sum(count for _, count in self.runs())

    def runs(self) -> Iterator[tuple[int, int]]:
        """``(first page frame number, number of pages)`` in ascending order."""
        dump = self._opened.facts
        for pfn, named, offset in dump.pages.runs():
            count = min(named, max(dump.source.size - offset, 0) // PAGE_SIZE)
            if count:
                yield pfn, count

    def read(self, pfn: int) -> bytes | None:
        """The page with this frame number; None if the dump does not hold it."""
        page = self._opened.facts.page(pfn)
        return None if page is None else bytes(page)


@dataclass(frozen=True, eq=False)
class Contents:
    """What a dump says of its target. A context manager: leaving it closes the file."""

    kind: str
    """``minidump``, ``userdump`` or ``kernel-dump``."""
    architecture: str | None
    """``x86``, ``amd64``, ``arm``, ``arm64``; None if the dump names no known one."""
    threads: tuple[Thread, ...]
    """Empty for a kernel dump, which has no list of threads."""
    modules: tuple[Module, ...]
    memory: Memory
    registers: Mapping[str, int]
    """Of the event: the faulting thread's, or the crashing processor's. Empty if the dump holds no such context."""
    exception: ExceptionRecord | None
    bug_check: BugCheck | None
    """Only in a kernel dump."""
    pages: PhysicalPages | None
    """Only in a kernel dump with physical pages."""
    streams: tuple[Stream, ...]
    """Only in a minidump."""
    comment: str | None
    _opened: _Opened[Dump | UserDump | KernelDump] = field(repr=False)

    @property
    def facts(self) -> Dump | UserDump | KernelDump:
        """The reader's own facts: every record with its bytes. Not part of the stable interface."""
        return self._opened.facts

    def close(self) -> None:
        """Close the file, unless the caller opened it. Then ``memory`` and ``pages`` cannot be read."""
        self._opened.close()

    def __enter__(self) -> Contents:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read(dump: DumpInput) -> Contents:
    """Read a dump: a path, its bytes, or an open ByteSource. In a cabinet, the first dump inside is read.

    Damaged parts are left out: a list that cannot be read is empty. ``check`` says what is wrong with a file. Raises
    NotADumpError for a file that is no dump, OSError for one that cannot be opened.
    """
    with ExitStack() as resources:
        source = open_source(dump)
        if source is not dump:
            resources.enter_context(source)
        contents = _contents(source)
        contents._opened.own(resources.pop_all())
        return contents


def _contents(source: ByteSource) -> Contents:
    identity = identify(source)
    inner, kind, found = source, identity.kind, identity.description
    if kind == CABINET:
        found = "a cabinet without a dump that can be read"
        member, kind = next(iter(read_cabinet(source).dumps()), (None, kind))
        if member is not None and member.source is not None:
            inner = member.source
    if kind == MINIDUMP:
        return _minidump(read_minidump(inner))
    if kind == USERDUMP:
        return _userdump(read_userdump(inner))
    if kind == KERNEL_DUMP:
        return _kernel(read_kernel(inner))
    raise NotADumpError(f"{source.name or 'the bytes'}: expected a crash dump, found {found}")


def _minidump(dump: Dump) -> Contents:
    opened = _Opened(dump)
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
    return dump.covered(thread.stack_start, thread.stack_end)


def _userdump(dump: UserDump) -> Contents:
    opened = _Opened(dump)
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
    opened = _Opened(dump)
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
        registers={} if dump.context is None else _Registers(dump.context),
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
    return {} if context is None else _Registers(context.record)


def _text(string: StringFact | None) -> str | None:
    return None if string is None else string.text


def _pdb(dump: Dump, span: Span | None) -> str | None:
    """The path of an RSDS record: signature, GUID and age, 24 bytes, then the path with its NUL."""
    if span is None or dump.source.read(span.start, len(_RSDS)) != _RSDS:
        return None
    size = min(len(span) - 24, _MAX_PDB_PATH, dump.string_bytes_left)
    path = dump.source.read(span.start + 24, size).partition(b"\0")[0]
    dump.string_bytes_left -= len(path)
    return path.decode("utf-8", "replace")
