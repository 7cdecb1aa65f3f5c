"""What a minidump says: facts with the bytes they came from, and the defects met while decoding them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from ..decode import Record
from ..model import Fault, Span
from ..source import ByteSource
from .architectures import architecture_of
from .lookup import Lookup


@dataclass(frozen=True, slots=True)
class Defect:
    """Something the reader met that the format does not allow. A rule whose ``reports`` has the topic speaks for it."""

    topic: str
    subject: str
    fault: Fault
    expected: tuple[str, ...]
    actual: str
    spans: tuple[Span, ...]


class Owner(StrEnum):
    """What a claimed byte is."""

    FACT = "fact"
    MEMORY = "memory"
    PADDING = "padding"


@dataclass(frozen=True, slots=True)
class Claim:
    """Bytes of the file that something owns."""

    span: Span
    label: str
    owner: Owner = Owner.FACT
    shared: bool = False
    """An identical claim (same bytes, same kind of thing) is legal: equal strings, a context cited twice."""


@dataclass(frozen=True, slots=True)
class DontCare:
    """Bytes that no rule can judge, by declaration."""

    span: Span
    why: str


@dataclass(frozen=True, slots=True)
class Stream:
    """A directory entry whose bytes lie inside the file."""

    type: int
    name: str
    record: Record
    """The MINIDUMP_DIRECTORY."""
    span: Span
    """Its bytes. Their length is DataSize."""

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
    """Length, units and, where there is one, the NUL behind them."""
    units: memoryview
    """UTF-16LE, without NUL."""
    terminated: bool

    @property
    def raw(self) -> bytes:
        return bytes(self.units)

    @property
    def text(self) -> str:
        """What is no UTF-16 reads as U+FFFD."""
        return str(self.units, "utf-16-le", "replace")


@dataclass(frozen=True, slots=True)
class ContextFact:
    """A CONTEXT record of the dump's architecture."""

    record: Record
    """CONTEXT_AMD64, CONTEXT_X86, CONTEXT_ARM or CONTEXT_ARM64."""
    span: Span
    """The whole record: DataSize bytes at Rva, behind the fixed part an XSTATE extension."""
    ip: int
    sp: int

    @property
    def flags(self) -> int:
        """ContextFlags, as stored."""
        return self.record["ContextFlags"]

    @property
    def extension(self) -> Span:
        """The bytes behind the fixed part; empty in most dumps."""
        return Span(self.record.span.end, max(self.span.end, self.record.span.end))


@dataclass(frozen=True, slots=True)
class ThreadFact:
    record: Record
    """MINIDUMP_THREAD."""
    context: ContextFact | None
    """None when the location does not lie in the file or is too short for the architecture."""

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
    record: Record
    """MINIDUMP_THREAD_NAME."""
    name: StringFact | None


@dataclass(frozen=True, slots=True)
class ModuleFact:
    record: Record
    """MINIDUMP_MODULE."""
    name: StringFact | None
    code_view: Span | None
    """The bytes of the CodeView record; None when there is none or it does not lie in the file."""
    misc: Span | None

    @property
    def base(self) -> int:
        return self.record["BaseOfImage"]

    @property
    def size(self) -> int:
        return self.record["SizeOfImage"]

    @property
    def end(self) -> int:
        return self.base + self.size


@dataclass(frozen=True, slots=True)
class UnloadedModuleFact:
    record: Record
    """MINIDUMP_UNLOADED_MODULE."""
    name: StringFact | None


@dataclass(frozen=True, slots=True)
class MemoryRange:
    """Captured bytes of the target: ``[start, start + size)`` is in the file from ``offset``."""

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
    record: Record
    """MINIDUMP_EXCEPTION_STREAM."""
    context: ContextFact | None


@dataclass(frozen=True, slots=True)
class HandleFact:
    record: Record
    """MINIDUMP_HANDLE_DESCRIPTOR or MINIDUMP_HANDLE_DESCRIPTOR_2."""
    type_name: StringFact | None
    object_name: StringFact | None
    object_infos: tuple[Record, ...]
    """MINIDUMP_HANDLE_OBJECT_INFORMATION, in chain order."""


@dataclass(frozen=True, slots=True)
class CommentFact:
    """Stream 10 (ANSI) or 11 (UTF-16)."""

    stream: Stream
    text: str | None
    """Up to the NUL; None when it does not decode."""


@dataclass(frozen=True, slots=True)
class FunctionTableFact:
    """One dynamic function table of stream 13."""

    record: Record
    """MINIDUMP_FUNCTION_TABLE_DESCRIPTOR."""
    native: Span
    entries: Span


@dataclass(frozen=True, slots=True)
class Accounting:
    """Who owns the bytes of the file."""

    claimed: int = 0
    """Bytes that a fact, captured memory or a padding owns."""
    overlaps: tuple[tuple[Claim, Claim], ...] = ()
    """Pairs of claims, neighbours in file order, that want the same bytes; the first few."""
    overlap_total: int = 0
    gaps: tuple[Span, ...] = ()
    """Unclaimed bytes that are no padding, in file order; the first few."""
    gap_total: int = 0
    unclaimed: int = 0
    """Bytes in all such gaps."""
    regions: int = 0
    """Claims after identical shared ones are taken together."""


@dataclass
class Dump:
    """A minidump as read. Absent streams leave None or an empty list; ``facts`` and ``broken`` tell them apart."""

    source: ByteSource
    kind: str = "minidump"
    header: Record | None = None
    directory: list[Record] = field(default_factory=list)
    streams: dict[int, Stream] = field(default_factory=dict)
    """The first of each type, type 0 excluded, that lies in the file."""
    duplicates: list[Stream] = field(default_factory=list)

    system_info: Record | None = None
    csd_version: StringFact | None = None
    misc_info: Record | None = None
    """MINIDUMP_MISC_INFO_5 with only its first ``misc_info["SizeOfInfo"]`` bytes; the rest reads as 0."""
    system_memory_info: Record | None = None
    vm_counters: Record | None = None
    """MINIDUMP_PROCESS_VM_COUNTERS_1 or _2."""
    threads: list[ThreadFact] = field(default_factory=list)
    thread_infos: list[Record] = field(default_factory=list)
    thread_names: list[ThreadNameFact] = field(default_factory=list)
    modules: list[ModuleFact] = field(default_factory=list)
    unloaded_modules: list[UnloadedModuleFact] = field(default_factory=list)
    memory: list[MemoryRange] = field(default_factory=list)
    """Of streams 5 and 9 alike, in file order of the descriptors; only ranges whose bytes lie in the file."""
    memory64_base: int | None = None
    memory_infos: list[Record] = field(default_factory=list)
    exception: ExceptionFact | None = None
    handles: list[HandleFact] = field(default_factory=list)
    comment: CommentFact | None = None
    function_tables: list[FunctionTableFact] = field(default_factory=list)
    tokens: list[Record] = field(default_factory=list)
    """MINIDUMP_TOKEN_INFO_HEADER."""

    headers: dict[int, Record] = field(default_factory=dict)
    """The list header of streams 9, 12, 13, 14, 16, 17, 18 and 19."""
    facts: set[str] = field(default_factory=set)
    """What could be decoded: see ``minidump.FACTS``."""
    broken: dict[str, str] = field(default_factory=dict)
    """What should be there and could not be decoded: fact -> topic of the defect."""
    defects: list[Defect] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    dont_cares: list[DontCare] = field(default_factory=list)
    accounting: Accounting = field(default_factory=Accounting)
    records_left: int = 500_000
    """How many more records may be decoded: the ceiling on the memory that a hostile file can cost."""
    string_bytes_left: int = 64 << 20
    """The same for the strings that it names, in bytes."""
    _lookup: Lookup | None = field(default=None, repr=False)
    _exhausted: bool = False

    @property
    def architecture(self) -> str | None:
        """``x86``, ``amd64``, ``arm``, ``arm64``; None when SystemInfo is absent or names another."""
        return None if self.system_info is None else architecture_of(self.system_info["ProcessorArchitecture"])

    @property
    def flags(self) -> int:
        """The header's Flags: MINIDUMP_TYPE bits."""
        return 0 if self.header is None else self.header["Flags"]

    def dont_care(self, span: Span, why: str) -> None:
        """Declare that no rule judges ``span``. Only where a document leaves a writer free."""
        self.dont_cares.append(DontCare(span, why))

    def defect(
        self,
        topic: str,
        subject: str,
        expected: str,
        actual: str,
        *spans: Span,
        fault: Fault = Fault.WRONG,
        loses: Iterable[str] | None = None,
    ) -> None:
        """Record a defect. ``loses`` are the facts it costs; with them goes the account of whose bytes are whose."""
        self.defects.append(Defect(topic, subject, fault, (expected,), actual, spans))
        if loses is not None:
            for fact in (*loses, "accounting"):
                self.breaks(fact, topic)

    def defects_of(self, topic: str) -> int:
        """How many defects of ``topic`` the reader met."""
        return sum(defect.topic == topic for defect in self.defects)

    def grant(self, records: int) -> int:
        """How many of ``records`` may be decoded; fewer than asked is a defect that breaks every fact."""
        granted = min(max(records, 0), self.records_left)
        self.records_left -= granted
        if granted < records:
            self.exhausted()
        return granted

    def exhausted(self) -> None:
        """Record, once, that the file asks for more than the judge decodes."""
        if not self._exhausted:
            self._exhausted = True
            expected = "at most 4096 streams, 500000 records and 64 MiB of strings"
            self.defect("ceiling", "file", expected, "more", loses=())

    def breaks(self, fact: str, topic: str) -> None:
        """Record that ``fact`` cannot be relied on because of a defect of ``topic``; the first defect is kept."""
        self.facts.discard(fact)
        self.broken.setdefault(fact, topic)

    def found(self, fact: str) -> None:
        if fact not in self.broken:
            self.facts.add(fact)

    def claim(self, span: Span, label: str, owner: Owner = Owner.FACT, *, shared: bool = False) -> None:
        if span.end > span.start:
            self.claims.append(Claim(span, label, owner, shared))

    def read_memory(self, address: int, size: int) -> bytes | None:
        """Bytes of the target as captured; None unless the dump holds all of them."""
        return self._ranges().read(self.source, address, size)

    def covered(self, start: int, end: int) -> bool:
        """Whether the dump holds every byte of ``[start, end)`` of the target."""
        return self._ranges().covered(start, end)

    def captured(self) -> list[tuple[int, int]]:
        """The union of the captured ranges: sorted ``[start, end)`` pairs that neither overlap nor touch."""
        return self._ranges().union

    def _ranges(self) -> Lookup:
        if self._lookup is None:
            self._lookup = Lookup(self.memory)
        return self._lookup
