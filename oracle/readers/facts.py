"""The facts of a minidump, with the bytes that they were read from."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, NamedTuple

from ..decode import Record
from ..model import Span
from .reading import Reading
from .recorded import CapturedMemory, RecordedModule
from .table import EMPTY, Table


class Stream(NamedTuple):
    """A directory entry whose bytes lie inside the file."""

    type: int
    name: str
    record: Record
    """Its MINIDUMP_DIRECTORY."""
    span: Span
    """Its bytes: DataSize at Rva."""

    @property
    def rva(self) -> int:
        return self.span.start

    @property
    def size(self) -> int:
        return len(self.span)


@dataclass(frozen=True)
class StringFact:
    """A MINIDUMP_STRING. Records that name the same place share it."""

    span: Span
    """Length, units, and the NUL if there is one."""
    units: memoryview
    """UTF-16LE, without the NUL."""
    terminated: bool
    """Whether a NUL follows."""

    @cached_property
    def raw(self) -> bytes:
        return bytes(self.units)

    @cached_property
    def text(self) -> str:
        """The text. Invalid UTF-16 reads as U+FFFD."""
        return str(self.units, "utf-16-le", "replace")


class ContextFact(NamedTuple):
    """A CONTEXT record of the dump's architecture."""

    record: Record
    """CONTEXT_AMD64, CONTEXT_X86, CONTEXT_ARM or CONTEXT_ARM64."""
    span: Span
    """The whole record, DataSize bytes at Rva: the fixed part, and an XSTATE extension if there is one."""
    ip: int
    sp: int

    @property
    def flags(self) -> int:
        """ContextFlags as stored."""
        return self.record["ContextFlags"]

    @property
    def extended(self) -> int:
        """How many bytes follow the fixed part; negative if the context is shorter."""
        return self.span.end - self.record.offset - self.record.structure.size

    @property
    def extension(self) -> Span:
        """The bytes after the fixed part; empty in most dumps."""
        return Span(self.record.span.end, max(self.span.end, self.record.span.end))


class ThreadFact(NamedTuple):
    """A thread of stream 3."""

    record: Record
    """MINIDUMP_THREAD."""
    context: ContextFact | None
    """None if it is not in the file, or too short for the architecture."""

    @property
    def id(self) -> int:
        return self.record["ThreadId"]

    @property
    def stack_start(self) -> int:
        return self.record["Stack.StartOfMemoryRange"]

    @property
    def stack_size(self) -> int:
        return self.record["Stack.Memory.DataSize"]

    @property
    def stack_end(self) -> int:
        return self.stack_start + self.stack_size

    @property
    def stack_rva(self) -> int:
        return self.record["Stack.Memory.Rva"]


class ThreadNameFact(NamedTuple):
    """A thread name of stream 24."""

    record: Record
    """MINIDUMP_THREAD_NAME."""
    name: StringFact | None


@dataclass(frozen=True, slots=True)
class ModuleFact(RecordedModule):
    """A module of stream 4."""

    record: Record
    """MINIDUMP_MODULE."""
    name: StringFact | None
    code_view: Span | None
    """The bytes of the CodeView record; None if there is none, or if it is not in the file."""
    misc: Span | None
    """The bytes of the IMAGE_DEBUG_MISC record; None likewise."""


class UnloadedModuleFact(NamedTuple):
    """A module of stream 14."""

    record: Record
    """MINIDUMP_UNLOADED_MODULE."""
    name: StringFact | None


class MemoryRange(NamedTuple):
    """Captured bytes of the target: ``[start, start + size)``, in the file at ``offset``."""

    start: int
    size: int
    offset: int
    stream: int
    """5 (MemoryList) or 9 (Memory64List)."""
    descriptors: Table
    position: int
    """Its place among the descriptors."""

    @property
    def record(self) -> Record:
        """Its descriptor."""
        return self.descriptors[self.position]

    @property
    def end(self) -> int:
        return self.start + self.size

    @property
    def span(self) -> Span:
        return Span(self.offset, self.offset + self.size)


class ExceptionFact(NamedTuple):
    """The exception of stream 6."""

    record: Record
    """MINIDUMP_EXCEPTION_STREAM."""
    context: ContextFact | None


class HandleFact(NamedTuple):
    """A handle of stream 12."""

    value: int
    """Handle."""
    descriptors: Table
    position: int
    """Its place among the descriptors."""
    type_name: StringFact | None
    object_name: StringFact | None
    info_places: tuple[int, ...]
    """The file offsets of its object information, in the order of the chain."""

    @property
    def record(self) -> Record:
        """MINIDUMP_HANDLE_DESCRIPTOR or MINIDUMP_HANDLE_DESCRIPTOR_2."""
        return self.descriptors[self.position]


class CommentFact(NamedTuple):
    """The comment of stream 10 (ANSI) or 11 (UTF-16)."""

    stream: Stream
    text: str | None
    """The text up to its NUL; None if it does not decode."""


class FunctionTableFact(NamedTuple):
    """A dynamic function table of stream 13."""

    record: Record
    """MINIDUMP_FUNCTION_TABLE_DESCRIPTOR."""
    native: Span
    """The system's own descriptor."""
    entries: Span
    pad: Span
    """SizeOfAlignPad bytes after the entries."""


@dataclass
class Dump(Reading, CapturedMemory):
    """A minidump, as read.

    An absent stream and a broken one both leave None or an empty list. ``facts`` and ``broken`` say which it is.
    """

    kind: ClassVar[str] = "minidump"
    header: Record | None = None
    directory: list[Record] = field(default_factory=list)
    streams: dict[int, Stream] = field(default_factory=dict)
    """By type: the first stream of each type, except type 0, whose bytes lie in the file."""
    duplicates: list[Stream] = field(default_factory=list)
    """Further streams of a type."""

    system_info: Record | None = None
    architecture: str | None = None
    """``x86``, ``amd64``, ``arm`` or ``arm64``; None if SystemInfo is absent or names another."""
    csd_version: StringFact | None = None
    misc_info: Record | None = None
    """MINIDUMP_MISC_INFO_5. Fields after ``misc_info["SizeOfInfo"]`` read as 0."""
    system_memory_info: Record | None = None
    vm_counters: Record | None = None
    """MINIDUMP_PROCESS_VM_COUNTERS_1 or _2."""
    threads: list[ThreadFact] = field(default_factory=list)
    thread_infos: Table = EMPTY
    thread_names: list[ThreadNameFact] = field(default_factory=list)
    modules: list[ModuleFact] = field(default_factory=list)
    unloaded_modules: list[UnloadedModuleFact] = field(default_factory=list)
    memory: list[MemoryRange] = field(default_factory=list)
    """The ranges of streams 5 and 9 whose bytes lie in the file, in the order of their descriptors."""
    empty_ranges: list[int] = field(default_factory=list)
    """The indices of the descriptors of size 0 in stream 5."""
    descriptors: Table = EMPTY
    """The descriptors of stream 5."""
    memory64_base: int | None = None
    """BaseRva of stream 9."""
    memory_infos: Table = EMPTY
    exception: ExceptionFact | None = None
    handles: list[HandleFact] = field(default_factory=list)
    comment: CommentFact | None = None
    function_tables: list[FunctionTableFact] = field(default_factory=list)
    handle_operations: Table = EMPTY
    """AVRF_HANDLE_OPERATION."""
    tokens: list[Record] = field(default_factory=list)
    """MINIDUMP_TOKEN_INFO_HEADER."""

    strings: dict[int, StringFact] = field(default_factory=dict)
    """By their place in the file."""
    odd_strings: set[int] = field(default_factory=set)
    """RVAs of strings that leave the file or have an odd size."""
    headers: dict[int, Record] = field(default_factory=dict)
    """By stream type: the list header of streams 9, 12, 13, 14, 16, 17, 18 and 19."""

    @property
    def flags(self) -> int:
        """Flags of the header: MINIDUMP_TYPE bits."""
        return 0 if self.header is None else self.header["Flags"]
