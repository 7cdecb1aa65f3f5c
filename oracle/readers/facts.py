"""The facts of a minidump, with the bytes that they were read from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from ..decode import Record
from ..model import Span
from .reading import Reading
from .recorded import CapturedMemory, RecordedModule


@dataclass(frozen=True, slots=True)
class Stream:
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


@dataclass(frozen=True, slots=True)
class StringFact:
    """A MINIDUMP_STRING."""

    span: Span
    """Length, units, and the NUL if there is one."""
    units: memoryview
    """UTF-16LE, without the NUL."""
    terminated: bool
    """Whether a NUL follows."""

    @property
    def raw(self) -> bytes:
        return bytes(self.units)

    @property
    def text(self) -> str:
        """The text. Invalid UTF-16 reads as U+FFFD."""
        return str(self.units, "utf-16-le", "replace")


@dataclass(frozen=True, slots=True)
class ContextFact:
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
    def extension(self) -> Span:
        """The bytes after the fixed part; empty in most dumps."""
        return Span(self.record.span.end, max(self.span.end, self.record.span.end))


@dataclass(frozen=True, slots=True)
class ThreadFact:
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


@dataclass(frozen=True, slots=True)
class ThreadNameFact:
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


@dataclass(frozen=True, slots=True)
class UnloadedModuleFact:
    """A module of stream 14."""

    record: Record
    """MINIDUMP_UNLOADED_MODULE."""
    name: StringFact | None


@dataclass(frozen=True, slots=True)
class MemoryRange:
    """Captured bytes of the target: ``[start, start + size)``, in the file at ``offset``."""

    start: int
    size: int
    offset: int
    stream: int
    """5 (MemoryList) or 9 (Memory64List)."""
    record: Record
    """Its descriptor."""

    @property
    def end(self) -> int:
        return self.start + self.size

    @property
    def span(self) -> Span:
        return Span(self.offset, self.offset + self.size)


@dataclass(frozen=True, slots=True)
class ExceptionFact:
    """The exception of stream 6."""

    record: Record
    """MINIDUMP_EXCEPTION_STREAM."""
    context: ContextFact | None


@dataclass(frozen=True, slots=True)
class HandleFact:
    """A handle of stream 12."""

    record: Record
    """MINIDUMP_HANDLE_DESCRIPTOR or MINIDUMP_HANDLE_DESCRIPTOR_2."""
    type_name: StringFact | None
    object_name: StringFact | None
    object_infos: tuple[Record, ...]
    """MINIDUMP_HANDLE_OBJECT_INFORMATION, in the order of the chain."""


@dataclass(frozen=True, slots=True)
class CommentFact:
    """The comment of stream 10 (ANSI) or 11 (UTF-16)."""

    stream: Stream
    text: str | None
    """The text up to its NUL; None if it does not decode."""


@dataclass(frozen=True, slots=True)
class FunctionTableFact:
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
    ceiling: ClassVar[str] = "at most 4096 streams, 500000 records and 64 MiB of strings"
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
    thread_infos: list[Record] = field(default_factory=list)
    thread_names: list[ThreadNameFact] = field(default_factory=list)
    modules: list[ModuleFact] = field(default_factory=list)
    unloaded_modules: list[UnloadedModuleFact] = field(default_factory=list)
    memory: list[MemoryRange] = field(default_factory=list)
    """The ranges of streams 5 and 9 whose bytes lie in the file, in the order of their descriptors."""
    empty_ranges: list[Record] = field(default_factory=list)
    """The descriptors of size 0 in stream 5."""
    memory64_base: int | None = None
    """BaseRva of stream 9."""
    memory_infos: list[Record] = field(default_factory=list)
    exception: ExceptionFact | None = None
    handles: list[HandleFact] = field(default_factory=list)
    comment: CommentFact | None = None
    function_tables: list[FunctionTableFact] = field(default_factory=list)
    handle_operations: list[Record] = field(default_factory=list)
    """AVRF_HANDLE_OPERATION."""
    tokens: list[Record] = field(default_factory=list)
    """MINIDUMP_TOKEN_INFO_HEADER."""

    headers: dict[int, Record] = field(default_factory=dict)
    """By stream type: the list header of streams 9, 12, 13, 14, 16, 17, 18 and 19."""
    string_bytes_left: int = 64 << 20
    """How many more bytes of strings may be read: a ceiling, as on records."""

    @property
    def flags(self) -> int:
        """Flags of the header: MINIDUMP_TYPE bits."""
        return 0 if self.header is None else self.header["Flags"]
